-- A page of the log as JSON text that is sent as it is.
-- include: entry

-- Entries from above `seq` up to `up_to` ('': the end), or below `seq` if `direction` is 'before'; at most `limit`, and of
-- `max_bytes` bytes, but at least one. Returns the seq of the first of them, their texts in ascending order, their bytes as
-- they are stored. Each has the log's `epoch`, also if it is older, and `hidden_by` when it is current no longer.
local function read_page(epoch, direction, seq, up_to, limit, max_bytes)
  local found, texts, bytes, taken = {}, {}, 0, 0
  if redis.call('EXISTS', deleted) == 1 then
    local known, backwards = redis.call('HMGET', meta, 'first', 'seq'), direction == 'before'
    local from, to = math.max(seq + 1, tonumber(known[1])), tonumber(up_to == '' and known[2] or up_to)
    if backwards then
      to = math.min(seq - 1, tonumber(known[2]))
      from = math.max(tonumber(known[1]), to - limit + 1)
    end
    for _, entry in ipairs(stored_entries(from, math.min(to, from + limit - 1))) do
      table.insert(found, backwards and 1 or #found + 1, {entry.seq .. '-0', {'e', entry.text}})
    end
  elseif direction == 'after' then
    found = redis.call('XRANGE', log, entry_id(seq + 1), up_to == '' and '+' or entry_id(up_to), 'COUNT', limit)
  elseif tonumber(seq) > 1 then
    found = redis.call('XREVRANGE', log, entry_id(seq - 1), '-', 'COUNT', limit)
  end
  max_bytes = tonumber(max_bytes)
  for i, item in ipairs(found) do
    bytes = bytes + #item[2][2]
    if bytes > max_bytes and i > 1 then
      bytes = bytes - #item[2][2]
      break
    end
    taken = i
  end
  if taken == 0 then return 0, texts, 0 end
  local first = tonumber(string.sub(found[direction == 'after' and 1 or taken][1], 1, -3))
  local head = '{"v":2,"conversation_id":' .. json(conversation_id) .. ',"epoch":'
  local current = head .. json(epoch) .. ','
  for i = 1, taken do
    local text = found[direction == 'after' and i or taken + 1 - i][2][2]
    if string.find(text, current, 1, true) ~= 1 then
      text = current .. string.sub(text, string.find(text, ',', #head, true) + 1)
    end
    texts[i] = text
  end
  if redis.call('EXISTS', hidden) == 1 then
    local seqs = {}
    for i = 1, taken do seqs[i] = string.format('%.0f', first + i - 1) end
    for i, by in ipairs(redis.call('HMGET', hidden, unpack(seqs))) do
      if by and (up_to == '' or tonumber(by) <= tonumber(up_to)) then
        texts[i] = with_fields(texts[i], 'hidden_by', raw(by))
      end
    end
  end
  return first, texts, bytes
end

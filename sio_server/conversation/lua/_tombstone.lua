-- What is left of an entry that was deleted.
-- include: run
local is_deletable = {message = true, answer = true, interrupt = true, stopped = true}
local LEFT = {'role', 'user_id', 'name', 'device_id', 'request_id', 'run_id', 'attempt', 'input_seq', 'replaces', 'edits',
  'rolled_back'}

-- Put what is left of an entry in its place. `as`: what its data says of its author from now on, or nil: as before.
local function delete_entry(entry, as)
  local envelope = cjson.decode(entry.text)
  local data, known = {}, envelope.data
  for name, value in pairs(as or {}) do known[name] = value end
  for _, name in ipairs(LEFT) do
    if known[name] ~= nil and known[name] ~= cjson.null then
      data[#data + 1] = name
      data[#data + 1] = known[name]
    end
  end
  data[#data + 1], data[#data + 2] = 'text', ''
  if envelope.type == 'answer' then data[#data + 1], data[#data + 2] = 'tools', raw('[]') end
  if envelope.type == 'interrupt' then data[#data + 1], data[#data + 2] = 'interrupts', raw('[]') end
  data[#data + 1], data[#data + 2] = 'deleted', true
  -- Nothing before the data is text of a user.
  local head = string.gsub(string.match(entry.text, '^(.-)"data":'), '"pages":%d+,', '')
  redis.call('HSET', deleted, entry.seq, (as and '' or entry.by) .. '\n' .. (entry.message and 'm' or '') .. '\n' .. head .. '"data":'
    .. object(unpack(data)) .. '}')
  redis.call('XDEL', log, entry_id(entry.seq))
  if entry.counts_for then redis.call('HINCRBY', usage, entry.counts_for, -#entry.text) end
  drop_pages(entry.seq)
  drop_files_of(entry.seq, known.files or {})
  -- The result of the request that made it is kept, without the digest of what was said: a repetition makes no other entry.
  local record = entry.by ~= '' and redis.call('HGET', sent, entry.by)
  if record and string.match(record, '^%x+ %x+ (%d+)') == entry.seq then
    redis.call('HSET', sent, entry.by, (string.gsub(record, '^%x+', ANY_BODY, 1)))
  end
  -- Redis marks what was deleted from a stream; the next sweep writes the stream again without it.
  redis.call('HSET', meta, 'rewrite', 1)
  redis.call('HINCRBY', meta, 'changes', 1)
  redis.call('ZADD', swept, 0, conversation_id)
end

-- The dialog continues from the thread `base` ('': from nothing). What was written since is deleted by a node that runs
-- graphs, soon.
local function return_to(base)
  for _, thread in ipairs(redis.call('LRANGE', threads, 0, -1)) do
    if thread == base then break end
    redis.call('LREM', threads, 1, thread)
    redis.call('SADD', retired, thread)
  end
  for _, field in ipairs({'thread', 'turn_base', 'asked_in', 'asked_base'}) do
    local thread = redis.call('HGET', meta, field) or ''
    if thread ~= '' and thread ~= base then redis.call('SADD', retired, thread) end
  end
  redis.call('HDEL', meta, 'turn_seq', 'turn_final', 'turn_base', 'message_seq', 'message_user', 'asked_in', 'asked_base')
  redis.call('HSET', meta, 'thread', base, 'left_threads', 1)
  ring(conversation_id)
end

-- One page of the log, for members only; the check and the read are one step.
-- ARGV: 4 user id ('' for the node itself), 5 'after' or 'before', 6 seq, 7 limit, 8 limit in bytes
-- Returns {'ok', epoch, first, head, {seq, envelope, seq, envelope, ...} in ascending order} or {error code}.
local user_id, direction, seq, limit, max_bytes = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local known = redis.call('HMGET', meta, 'epoch', 'first', 'seq')
if not known[1] then return {'unknown_conversation'} end
local refusal = user_id ~= '' and stranger(user_id)
if refusal then return refusal end
local found
if direction == 'after' then
  found = redis.call('XRANGE', log, string.format('%d-0', seq + 1), '+', 'COUNT', limit)
else
  found = seq > 1 and redis.call('XREVRANGE', log, string.format('%d-0', seq - 1), '-', 'COUNT', limit) or {}
end
local entries, bytes = {}, 0
for _, item in ipairs(found) do
  bytes = bytes + #item[2][2]
  if bytes > max_bytes and #entries > 0 then break end
  local id = string.match(item[1], '^%d+')
  if direction == 'after' then
    entries[#entries + 1] = id
    entries[#entries + 1] = item[2][2]
  else
    table.insert(entries, 1, item[2][2])
    table.insert(entries, 1, id)
  end
end
return {'ok', known[1], known[2], known[3], entries}

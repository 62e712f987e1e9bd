-- The time of a file has come: it is dropped unless a message has it, or its time is later after all.
-- Returns ok: gone ('1': its bytes are to be removed, or '0').
-- keys: conversation
-- include: entry
local file_id = unpack(ARGV)
local item = conversation_id .. ' ' .. file_id
local due_ms = redis.call('ZSCORE', files_due, item)
local seq = string.match(redis.call('HGET', files, file_id) or '', '^%d+')
if seq and seq ~= '0' then
  redis.call('ZREM', files_due, item)
  return {'ok', 'gone', '0'}
end
if not due_ms or tonumber(due_ms) > milliseconds() then return {'ok', 'gone', '0'} end
redis.call('HDEL', files, file_id)
return {'ok', 'gone', '1'}

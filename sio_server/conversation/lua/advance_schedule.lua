-- What was due at `due_ms` has been done, or refused.
--   next_ms         when it is due again, or ''
--   record          as it is from now on (JSON); '': nothing is left to do or to tell
-- Returns ok. Again, or when another node was faster, it changes nothing.
-- keys: conversation
-- include: entry
local schedule_id, due_ms, next_ms, record = unpack(ARGV)
local known = redis.call('HGET', schedules, schedule_id)
if not known or string.match(known, '^%d+') ~= due_ms then return {'ok'} end
local member = conversation_id .. ' ' .. schedule_id
if record == '' then
  redis.call('HDEL', schedules, schedule_id)
else
  redis.call('HSET', schedules, schedule_id, (next_ms == '' and '0' or next_ms) .. ' ' .. record)
end
if next_ms == '' then redis.call('ZREM', due, member) else redis.call('ZADD', due, next_ms, member) end
return {'ok'}

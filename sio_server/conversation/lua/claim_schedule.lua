-- Do what is due, for `hold_ms` milliseconds: then another node may. Doing it twice is harmless: see `Schedules`.
-- Returns idle (it is not due, or gone); or ok: due_ms, record (JSON).
-- keys: conversation
-- include: entry once
local schedule_id, hold_ms = unpack(ARGV)
return once(function()
  local member = conversation_id .. ' ' .. schedule_id
  local known, at = redis.call('HGET', schedules, schedule_id), redis.call('ZSCORE', due, member)
  if not known then redis.call('ZREM', due, member) end
  local now_ms = milliseconds()
  if not known or not at or tonumber(at) > now_ms then return {'idle'} end
  redis.call('ZADD', due, now_ms + hold_ms, member)
  local due_ms, record = string.match(known, '^(%d+) (.*)$')
  return {'ok', 'due_ms', due_ms, 'record', record}
end)

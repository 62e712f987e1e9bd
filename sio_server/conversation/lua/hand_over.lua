-- Let go of a run that has not ended.
-- Returns ok or stale.
-- keys: conversation
-- include: once
local token = unpack(ARGV)
return once(function()
  if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
  redis.call('HSET', run_prefix .. redis.call('HGET', lease, 'run_id'), 'status', 'pending')
  redis.call('DEL', lease)
  return {'ok'}
end)

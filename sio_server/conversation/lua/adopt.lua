-- The checkpoints of this attempt are the run's from now on.
-- Returns ok or stale.
-- keys: conversation
local token, run_id, thread_id = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
redis.call('HSET', run_prefix .. run_id, 'thread', thread_id)
return {'ok'}

-- The checkpoints of this attempt are the run's from now on. ARGV: 4 fencing token, 5 run id, 6 thread id
-- Returns {'ok'} or {'stale'}.
if redis.call('HGET', lease, 'token') ~= ARGV[4] then return {'stale'} end
redis.call('HSET', run_prefix .. ARGV[5], 'thread', ARGV[6])
return {'ok'}

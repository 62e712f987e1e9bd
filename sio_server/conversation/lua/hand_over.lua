-- Let go of a run that has not ended. ARGV: 4 fencing token
-- Returns {'ok'} or {'stale'}.
if redis.call('HGET', lease, 'token') ~= ARGV[4] then return {'stale'} end
redis.call('HSET', run_prefix .. redis.call('HGET', lease, 'run_id'), 'status', 'pending')
redis.call('DEL', lease)
return {'ok'}

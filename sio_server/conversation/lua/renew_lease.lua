-- Keep the lease for as long again as it lasts.
-- Returns ok or stale.
-- keys: conversation
-- include: run
local token = unpack(ARGV)
local held = redis.call('HMGET', lease, 'token', 'run_id', 'ms')
if held[1] ~= token then return {'stale'} end
redis.call('PEXPIRE', lease, held[3])
if redis.call('HGET', run_prefix .. held[2], 'status') == 'stalled' then
  redis.call('HSET', run_prefix .. held[2], 'status', 'running')
  publish_run(held[2])
end
return {'ok'}

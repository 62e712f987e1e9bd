-- Keep the lease for another LEASE_MS.
-- Returns ok or stale.
-- keys: conversation
-- include: run
local token = unpack(ARGV)
local held = redis.call('HMGET', lease, 'token', 'run_id')
if held[1] ~= token then return {'stale'} end
redis.call('PEXPIRE', lease, LEASE_MS)
if redis.call('HGET', run_prefix .. held[2], 'status') == 'stalled' then
  redis.call('HSET', run_prefix .. held[2], 'status', 'running')
  publish_run(held[2])
end
return {'ok'}

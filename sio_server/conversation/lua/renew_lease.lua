-- Keep the lease for another LEASE_MS.
-- Returns ok or stale.
-- keys: conversation
local token = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
redis.call('PEXPIRE', lease, LEASE_MS)
return {'ok'}

-- Keep the lease. ARGV: 3 fencing token, 4 lease ms. Returns {'ok'} or {'stale'}.
if redis.call('HGET', lease, 'token') ~= ARGV[3] then return {'stale'} end
redis.call('PEXPIRE', lease, ARGV[4])
return {'ok'}

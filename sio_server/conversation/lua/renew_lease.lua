-- Keep the lease. ARGV: 4 fencing token, 5 lease ms. Returns {'ok'} or {'stale'}.
if redis.call('HGET', lease, 'token') ~= ARGV[4] then return {'stale'} end
redis.call('PEXPIRE', lease, ARGV[5])
return {'ok'}

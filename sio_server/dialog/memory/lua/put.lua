-- Write an item, or delete it. ARGV: 1 member, 2 lifetime in µs or '', 3 value or '' to delete
-- Some that have expired are removed at each write, so they do not pile up where nobody reads them.
for _, member in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', digits(now), 'LIMIT', 0, 100)) do
  forget(member)
end
local member, lifetime, value = unpack(ARGV)
if value == '' then
  forget(member)
  return 'ok'
end
local created = read(member) or digits(now)
redis.call('HSET', items, member, created .. ' ' .. lifetime .. ' ' .. value)
redis.call('ZADD', order, 0, member)
redis.call('ZADD', updated, digits(now), member)
if lifetime == '' then
  redis.call('ZREM', expiries, member)
else
  redis.call('ZADD', expiries, digits(now + lifetime), member)
end
return 'ok'

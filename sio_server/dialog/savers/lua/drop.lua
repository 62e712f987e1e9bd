-- Drop checkpoints with their writes, and the values that no other checkpoint has. ARGV: 1 thread id, 2.. their fields
local headless = {}
for i = 2, #ARGV do
  local ns, id = split(ARGV[i])
  redis.call('HDEL', checkpoints, ARGV[i])
  redis.call('LREM', order, 1, ARGV[i])
  redis.call('ZREMRANGEBYLEX', writes, beginning(ARGV[i] .. '\0'))
  if redis.call('HGET', checkpoints, ns) == id then
    redis.call('HDEL', checkpoints, ns)
    headless[ns] = true
  end
end
local used = {}
for _, field in ipairs(redis.call('LRANGE', order, 0, -1)) do
  local ns, id = split(field)
  -- The last one that stays becomes the latest.
  if headless[ns] then redis.call('HSET', checkpoints, ns, id) end
  for _, ref in ipairs(cmsgpack.unpack(redis.call('HGET', checkpoints, field))[4]) do used[ns .. '\0' .. ref] = true end
end
for _, name in ipairs(redis.call('HKEYS', values)) do
  if not used[name] then redis.call('HDEL', values, name) end
end
if redis.call('EXISTS', order) == 0 then redis.call('SREM', threads, ARGV[1]) end
return 'ok'

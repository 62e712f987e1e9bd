-- What checkpoints there are, in the order of their writing. Returns of each {namespace, id, parent id, metadata}.
local found = {}
for i, field in ipairs(redis.call('LRANGE', order, 0, -1)) do
  local ns, id = split(field)
  local record = cmsgpack.unpack(redis.call('HGET', checkpoints, field))
  found[i] = {ns, id, record[1], record[3]}
end
return found

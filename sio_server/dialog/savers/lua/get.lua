-- Read checkpoints with their values and writes. ARGV: namespace, id ('' for the latest) of each
-- Returns of each that exists {namespace, id, parent id, checkpoint, metadata, refs, values, writes}.
local found = {}
for i = 1, #ARGV, 2 do
  local ns, id = ARGV[i], ARGV[i + 1]
  if id == '' then id = redis.call('HGET', checkpoints, ns) or '' end
  local field = ns .. '\0' .. id
  local record = redis.call('HGET', checkpoints, field)
  if record then
    local parent, checkpoint, metadata, refs = unpack(cmsgpack.unpack(record))
    local held = {}
    for j, ref in ipairs(refs) do held[j] = redis.call('HGET', values, ns .. '\0' .. ref) end
    found[#found + 1] = {ns, id, parent, checkpoint, metadata, refs, held,
      redis.call('ZRANGEBYLEX', writes, beginning(field .. '\0'))}
  end
end
return found

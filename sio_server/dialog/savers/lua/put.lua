-- Write a checkpoint and make it the latest of its namespace.
-- ARGV: 1 fencing token or '', 2 thread id, 3 namespace, 4 id, 5 parent id or '', 6 checkpoint, 7 metadata,
--       8.. ref, value of each channel, '' for a value that is stored already
-- Returns 'ok'; 'stale'; or 'incomplete' when a value is not stored: ask again with all values.
if stale(ARGV[1]) then return 'stale' end
local ns, id = ARGV[3], ARGV[4]
local refs = {}
for i = 8, #ARGV, 2 do
  if ARGV[i + 1] == '' and redis.call('HEXISTS', values, ns .. '\0' .. ARGV[i]) == 0 then return 'incomplete' end
  refs[#refs + 1] = ARGV[i]
end
for i = 8, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then redis.call('HSET', values, ns .. '\0' .. ARGV[i], ARGV[i + 1]) end
end
local field = ns .. '\0' .. id
local record = cmsgpack.pack({ARGV[5], ARGV[6], ARGV[7], refs})
-- A repeated request, which may come late, must not bring an older checkpoint to the front again.
if redis.call('HSET', checkpoints, field, record) == 1 then
  redis.call('RPUSH', order, field)
  redis.call('HSET', checkpoints, ns, id)
  redis.call('SADD', threads, ARGV[2])
end
return 'ok'

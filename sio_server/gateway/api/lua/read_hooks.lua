-- How an endpoint stands in a partition, and with `again` '1' what has failed is tried again at once.
-- Returns ok: waiting (entries that it has not been told, 1000 at most), failures, since_ms, told_ms ('' each when there is none), problem.
local endpoint, again = unpack(ARGV)
local stream, state = unpack(KEYS)
local known = redis.call('HMGET', state, endpoint .. ' position', endpoint .. ' failures', endpoint .. ' since', endpoint .. ' told',
  endpoint .. ' problem')
local waiting = 0
for _, item in ipairs(known[1] and redis.call('XRANGE', stream, '(' .. known[1], '+', 'COUNT', 1000) or {}) do
  if #item[2] == 6 then waiting = waiting + 1 end
end
if again == '1' then
  redis.call('HDEL', state, endpoint .. ' failures', endpoint .. ' since', endpoint .. ' next', endpoint .. ' problem')
end
return {'ok', 'waiting', waiting, 'failures', known[2] or '', 'since_ms', known[3] or '', 'told_ms', known[4] or '',
  'problem', known[5] or ''}

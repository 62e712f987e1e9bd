-- Take or keep the lease of an endpoint in a partition, and read what it is to be told next.
--   node_id, lease_ms   whose lease, and how long it lasts
--   count               entries at most
--   kept_ms             how long what is kept outlives the last node that delivers
-- Returns held (by another node); unopened; later: ms (after a failure); or ok: entries (id, conversation, type, envelope,
-- ...), failures (how often the first of them has failed), lost_from, lost_to (what was dropped untold, by the ids of
-- entries, told once; '' each when nothing was).
-- include: time hook_positions
local endpoint, node_id, lease_ms, count, kept_ms = unpack(ARGV)
local stream, state = unpack(KEYS)
local known = redis.call('HMGET', state, endpoint .. ' position', endpoint .. ' owner', endpoint .. ' until', endpoint .. ' failures',
  endpoint .. ' next', endpoint .. ' dropped')
local now_ms = milliseconds()
if not known[1] or redis.call('EXISTS', stream) == 0 then return {'unopened'} end
if known[2] and known[2] ~= node_id and tonumber(known[3]) > now_ms then return {'held'} end
local later_ms = math.max(0, tonumber(known[5] or '0') - now_ms)
local items = later_ms == 0 and redis.call('XRANGE', stream, '(' .. known[1], '+', 'COUNT', count) or {}
-- An idle lane is looked at all the time, and each write goes to the replicas and the append-only file: the lease is renewed
-- when there is something to deliver, and when half of it is over.
local left_ms = known[2] == node_id and tonumber(known[3]) - now_ms or 0
if #items > 0 or lease_ms == '0' or left_ms < lease_ms / 2 then
  redis.call('HSET', state, endpoint .. ' owner', node_id, endpoint .. ' until', string.format('%.0f', now_ms + lease_ms))
  redis.call('PEXPIRE', stream, kept_ms)
  redis.call('PEXPIRE', state, kept_ms)
end
if later_ms > 0 then return {'later', 'ms', later_ms} end
local first, lost_to = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1], ''
if first and is_before(known[1], first[1]) and known[6] ~= first[1] then
  lost_to = first[1]
  redis.call('HSET', state, endpoint .. ' dropped', lost_to)
end
local entries = {}
for _, item in ipairs(items) do
  if #item[2] == 6 then
    entries[#entries + 1] = item[1]
    for i = 2, 6, 2 do entries[#entries + 1] = item[2][i] end
  end
end
return {'ok', 'entries', entries, 'failures', known[4] or 0, 'lost_from', lost_to ~= '' and known[1] or '', 'lost_to', lost_to}

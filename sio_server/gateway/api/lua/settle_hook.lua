-- An endpoint has been told all up to the entry `position`, or the one after it has failed; the lease is kept.
--   position        '' when nothing more was delivered
--   failures        how often the next one has failed by now, 0: it has not been tried
--   delay_ms        after which it is tried again
--   problem         what went wrong
--   disabled        endpoints that are told nothing (JSON array); what all others have been told is dropped
-- Returns ok: since_ms (since when it fails, or '', by Redis' clock), now_ms; or stale, when the lease is another node's.
-- include: time hook_positions
local endpoint, node_id, lease_ms, position, failures, delay_ms, problem, disabled = unpack(ARGV)
local stream, state = unpack(KEYS)
if redis.call('HGET', state, endpoint .. ' owner') ~= node_id then return {'stale'} end
local now_ms = milliseconds()
redis.call('HSET', state, endpoint .. ' until', string.format('%.0f', now_ms + lease_ms))
if failures == '0' then
  redis.call('HDEL', state, endpoint .. ' failures', endpoint .. ' since', endpoint .. ' next', endpoint .. ' problem')
else
  redis.call('HSETNX', state, endpoint .. ' since', string.format('%.0f', now_ms))
  redis.call('HSET', state, endpoint .. ' failures', failures, endpoint .. ' next', string.format('%.0f', now_ms + delay_ms),
    endpoint .. ' problem', problem)
end
if position ~= '' then
  redis.call('HSET', state, endpoint .. ' position', position, endpoint .. ' told', string.format('%.0f', now_ms))
  drop_told(stream, state, disabled)
end
return {'ok', 'since_ms', redis.call('HGET', state, endpoint .. ' since') or '', 'now_ms', string.format('%.0f', now_ms)}

-- End a run with its one final entry, and give the lease back.
--   status, entry_type, data  of the run, of the entry, of the entry (JSON)
--   whole           the whole data of the entry (JSON) when `data` is shortened, or ''
--   threads_kept    how many threads of finished runs are kept
--   asked           interrupts that the run asks: {id, the graph's own id} of each (JSON array)
-- Returns ok: retired (ids of threads to delete); or stale. Again with the same token it changes nothing.
-- keys: conversation
-- include: run
local token, run_id, status, entry_type, data, whole, threads_kept, asked = unpack(ARGV)
local record = run_prefix .. run_id
if not redis.call('ZSCORE', unfinished, run_id) then
  if redis.call('HGET', record, 'token') ~= token or redis.call('HGET', record, 'status') ~= status then
    return {'stale'}
  end
  return {'ok', 'retired', redis.call('SMEMBERS', retired)}
end
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
local seq = end_run(run_id, status, entry_type, data, whole, status ~= 'failed', false)
if status == 'interrupted' then
  redis.call('DEL', interrupts, answers, resolved)
  for _, pair in ipairs(cjson.decode(asked)) do redis.call('HSET', interrupts, pair[1], pair[2]) end
  -- Where the turn continues, whatever is stopped or waits meanwhile.
  local turn = redis.call('HMGET', meta, 'thread', 'turn_base', 'turn_seq')
  redis.call('HSET', meta, 'asked_seq', seq, 'asked_in', turn[1], 'asked_base', turn[2], 'asked_for', turn[3])
end
-- The states of earlier turns are kept for a while; the one from which this turn began as long as it may begin again.
local needed = redis.call('HMGET', meta, 'turn_base', 'thread')
for _, old in ipairs(redis.call('LRANGE', threads, threads_kept, -1)) do
  if old ~= needed[1] and old ~= needed[2] then
    redis.call('LREM', threads, 1, old)
    redis.call('SADD', retired, old)
  end
end
return {'ok', 'retired', redis.call('SMEMBERS', retired)}

-- End a run with its one final entry, and give the lease back.
--   status, entry_type, data  of the run, of the entry, of the entry (JSON)
--   whole           the whole data of the entry (JSON) when `data` is shortened, or ''
--   threads_kept    how many threads of finished runs are kept
--   asked           interrupts that the run asks: {id, the graph's own id, its form or '' (JSON)} of each (JSON array)
--   moves           1 if the conversation's state is that of the run from now on, unless it has failed
--   attempt, last   what it has said and reported last (JSON array): {batch, parts, heads, reports} as for `add_written`
--   bells           the messages of the run queue that the executor has (JSON array of ids): acknowledged if no other run
--                   of the conversation is unfinished
--   checkpoints, written  a thread of the plain saver (its key) and its latest checkpoint, sent just before this on the same
--                   connection: it has to be there. Or ''
--   thread          the attempt's own thread if it has adopted it, or ''
-- Returns ok: retired (ids of threads to delete), unfinished (how many runs of the conversation are); stale; or unwritten.
-- Again with the same token it changes nothing.
-- keys: conversation
-- include: run
-- durable
local token, run_id, status, entry_type, data, whole, threads_kept, asked, moves,
  attempt, last, bells, checkpoints, written, thread = unpack(ARGV)
local record = run_prefix .. run_id

local function finished()
  local left = redis.call('ZCARD', unfinished)
  local rung = left == 0 and cjson.decode(bells) or {}
  if #rung > 0 then
    redis.call('XACK', runs, WORKERS, unpack(rung))
    redis.call('XDEL', runs, unpack(rung))
  end
  return {'ok', 'retired', redis.call('SMEMBERS', retired), 'unfinished', left}
end

if not redis.call('ZSCORE', unfinished, run_id) then
  if redis.call('HGET', record, 'token') ~= token or redis.call('HGET', record, 'status') ~= status then
    return {'stale'}
  end
  redis.call('HSET', record, 'status', status) -- as it is: see `_request.lua`
  return finished()
end
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
if checkpoints ~= '' and redis.call('HGET', checkpoints, '') ~= written then return {'unwritten'} end
-- The final entry says it all, so nothing about these may keep it back. The first may have come already.
for _, batch in ipairs(cjson.decode(last)) do pcall(add_batch, run_id, attempt, unpack(batch)) end
-- A failover may have lost that the run continues from there, and not the lease.
if moves == '1' and status ~= 'failed' and thread ~= '' then redis.call('HSET', record, 'thread', thread) end
local seq = end_run(run_id, status, entry_type, data, whole, status ~= 'failed' and moves == '1', false)
if status == 'interrupted' then
  redis.call('DEL', interrupts, forms, answers, resolved)
  for _, item in ipairs(cjson.decode(asked)) do
    redis.call('HSET', interrupts, item[1], item[2])
    redis.call('HSET', forms, item[1], item[3])
  end
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
return finished()

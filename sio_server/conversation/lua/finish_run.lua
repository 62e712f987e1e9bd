-- End a run with its one final entry and give the lease back. ARGV: 4 fencing token, 5 run id, 6 status,
-- 7 type of the entry, 8 data (JSON), 9 how many threads of finished runs are kept,
-- 10.. id and the graph's own id of each interrupt
-- Returns {'ok', ids of threads to delete} or {'stale'}; again with the same token it changes nothing.
local run_id, status = ARGV[5], ARGV[6]
local record = run_prefix .. run_id
if not redis.call('ZSCORE', unfinished, run_id) then
  if redis.call('HGET', record, 'token') ~= ARGV[4] or redis.call('HGET', record, 'status') ~= status then
    return {'stale'}
  end
  return {'ok', redis.call('SMEMBERS', retired)}
end
if redis.call('HGET', lease, 'token') ~= ARGV[4] then return {'stale'} end
local seq = end_run(run_id, status, ARGV[7], ARGV[8], status ~= 'failed')
if status == 'interrupted' then
  redis.call('DEL', interrupts, answers, resolved)
  for i = 10, #ARGV, 2 do redis.call('HSET', interrupts, ARGV[i], ARGV[i + 1]) end
  -- Where the turn goes on, whatever is stopped or waits meanwhile.
  local turn = redis.call('HMGET', meta, 'thread', 'turn_base', 'turn_seq')
  redis.call('HSET', meta, 'asked_seq', seq, 'asked_in', turn[1], 'asked_base', turn[2], 'asked_for', turn[3])
  publish('interrupt:requested', conversation_room, string.format('{"conversation_id":%s,"seq":%d,%s',
    cjson.encode(conversation_id), seq, string.sub(ARGV[8], 2)))
end
-- The states of earlier turns are kept for a while; the one this turn began from as long as it may begin again.
local needed = redis.call('HMGET', meta, 'turn_base', 'thread')
for _, old in ipairs(redis.call('LRANGE', threads, ARGV[9], -1)) do
  if old ~= needed[1] and old ~= needed[2] then
    redis.call('LREM', threads, 1, old)
    redis.call('SADD', retired, old)
  end
end
return {'ok', redis.call('SMEMBERS', retired)}

-- Take the lease of a conversation, and its first unfinished run.
--   holding         a fencing token that the node holds already, or ''
--   failed          the run whose attempt under it has failed, or ''
-- Returns idle when nothing is to be done; held: ms, while another node holds the lease for so long; or
-- ok: token, run_id, attempt, input_seq, epoch, input (its envelope or ''), kind, failures, source (the thread to begin
-- from or ''), began_from (the thread from which the first attempt began or ''), answers (JSON or ''), replaces (seq of
-- the entry that the run's will replace, or ''), graph, agent_name.
-- keys: conversation
-- include: run once
local node_id, node_name, holding, failed = unpack(ARGV)
return once(function(call_id)
  local run_id = redis.call('ZRANGE', unfinished, 0, 0)[1]
  if not run_id then return {'idle'} end
  local holder = redis.call('HGET', lease, 'token')
  if holder and holder ~= holding then return {'held', 'ms', redis.call('PTTL', lease)} end
  -- The failed run may have been stopped since: then it is not the one that is taken, and nothing is counted.
  if failed ~= '' and redis.call('ZSCORE', unfinished, failed) then
    redis.call('HINCRBY', run_prefix .. failed, 'failures', 1)
  end
  local record = run_prefix .. run_id
  local known = redis.call('HMGET', record, 'kind', 'input_seq', 'source', 'chars', 'thread', 'answers', 'replaces')
  local kind, input_seq, source = known[1], known[2], known[3]

  if kind == 'message' and redis.call('HLEN', interrupts) > 0 then
    -- What was written before the question was asked does not answer it: it waits with the question.
    local newest = redis.call('ZREVRANGE', unfinished, 0, 0, 'WITHSCORES')[2]
    if tonumber(newest) < tonumber(redis.call('HGET', meta, 'asked_seq')) then return {'idle'} end
    supersede_interrupts()
  end

  -- No token is ever given twice, also when the end of the log has been lost, and the count with it.
  local token = string.format('%d.%s', redis.call('HINCRBY', meta, 'fence', 1), call_id)
  redis.call('DEL', lease)
  redis.call('HSET', lease, 'owner', node_id, 'token', token, 'run_id', run_id)
  redis.call('PEXPIRE', lease, LEASE_MS)
  local attempt = redis.call('HINCRBY', record, 'attempt', 1)
  if not source then
    source = redis.call('HGET', meta, 'thread') or ''
    redis.call('HSET', record, 'source', source, 'base', source)
  end
  local now_known = redis.call('HMGET', meta, 'epoch', 'graph', 'agent_name')
  local attempts = (redis.call('HGET', record, 'attempts') or '') .. ' ' .. now_known[1] .. '#' .. token
  redis.call('HSET', record, 'status', 'running', 'node', node_id, 'token', token, 'chars', 0, 'attempts', attempts)
  redis.call('DEL', record .. ':text')
  if attempt > 1 then withdraw(run_id, attempt - 1, known[4]) end
  publish('run:started', conversation_room, object('conversation_id', conversation_id, 'run_id', run_id,
    'attempt', attempt, 'input_seq', tonumber(input_seq), 'node', node_name))
  return {'ok', 'token', token, 'run_id', run_id, 'attempt', attempt, 'input_seq', input_seq, 'epoch', now_known[1],
    'input', read_entry(input_seq) or '', 'kind', kind, 'failures', redis.call('HGET', record, 'failures'),
    'source', known[5] or source, 'began_from', source, 'answers', known[6] or '', 'replaces', known[7] or '',
    'graph', now_known[2], 'agent_name', now_known[3]}
end)

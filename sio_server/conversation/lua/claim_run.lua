-- Take the lease of a conversation, and its first unfinished run.
--   lease_ms        how long the lease lasts, unless it is renewed
--   holding         a fencing token that the node holds already, or ''
--   failed          the run whose attempt under it has failed, or ''
-- Returns idle when nothing is to be done: retired (threads to be deleted); held: ms, while another node holds the lease:
-- look again after so long, when the run would be stalled, or if it is stalled already, when the lease expires; or
-- ok: token, run_id, attempt, input_seq, epoch, input (its envelope or ''), kind, failures, source (the thread to begin
-- from or ''), began_from (the thread from which the first attempt began or ''), answers (JSON or ''), replaces (seq of
-- the entry that the run's will replace, or ''), graph, agent_name, base (the thread from which the turn began or ''),
-- quoted (the envelope of the entry that the message answers, or ''), person (JSON or ''), context (of the conversation, JSON or ''), lost (how many nodes it has lost, see `adopt`).
-- keys: conversation
-- include: run once
local node_id, node_name, lease_ms, holding, failed = unpack(ARGV)
return once(function(call_id)
  local run_id = redis.call('ZRANGE', unfinished, 0, 0)[1]
  if not run_id then
    -- Of a conversation, or a message, that was deleted the checkpoints are left.
    local any_left = redis.call('EXISTS', meta) == 0 or redis.call('HEXISTS', meta, 'left_threads') == 1
    return {'idle', 'retired', any_left and redis.call('SMEMBERS', retired) or {}}
  end
  notice_promotion()
  local holder = redis.call('HGET', lease, 'token')
  local record = run_prefix .. run_id
  if not holder or holder ~= holding then
    -- A node that has been silent for half of its lease loses the run soon, or has lost it: devices see so first.
    local left_ms = holder and redis.call('PTTL', lease) or 0
    local stalls_ms = holder and left_ms - math.floor(redis.call('HGET', lease, 'ms') / 2)
    if holder and stalls_ms > 0 then return {'held', 'ms', stalls_ms} end
    local executed = holder and run_prefix .. redis.call('HGET', lease, 'run_id') or record
    if redis.call('HGET', executed, 'status') == 'running' then
      redis.call('HSET', executed, 'status', 'stalled')
      publish_run(string.sub(executed, #run_prefix + 1))
    end
    if holder then return {'held', 'ms', left_ms} end
    -- A lease that expired, of another process, while its graph was at work: unless that process says otherwise (see
    -- `retire`) it is gone.
    local lost = redis.call('HMGET', record, 'token', 'begun', 'owner', 'shared', 'lost', 'status')
    if lost[6] == 'stalled' and lost[2] == lost[1] and lost[3] ~= node_id then
      redis.call('HSET', record, 'lost', (lost[5] or '') .. ' ' .. lost[1] .. (lost[4] == lost[1] and '?' or '!'))
    end
  end
  -- The failed run may have been stopped since: then it is not the one that is taken, and nothing is counted.
  if failed ~= '' and redis.call('ZSCORE', unfinished, failed) then
    redis.call('HINCRBY', run_prefix .. failed, 'failures', 1)
  end
  local known = redis.call('HMGET', record, 'kind', 'input_seq', 'source', 'thread', 'answers', 'replaces', 'person')
  local kind, input_seq, source = known[1], known[2], known[3]

  if kind == 'message' and redis.call('HLEN', interrupts) > 0 then
    -- What was written before the question was asked does not answer it: it waits with the question.
    local newest = redis.call('ZREVRANGE', unfinished, 0, 0, 'WITHSCORES')[2]
    if tonumber(newest) < tonumber(redis.call('HGET', meta, 'asked_seq')) then return {'idle', 'retired', {}} end
    supersede_interrupts()
  end

  -- No token is ever given twice, also when the end of the log has been lost, and the count with it.
  local token = string.format('%d.%s', redis.call('HINCRBY', meta, 'fence', 1), call_id)
  redis.call('DEL', lease)
  redis.call('HSET', lease, 'owner', node_id, 'token', token, 'run_id', run_id, 'ms', lease_ms)
  redis.call('PEXPIRE', lease, lease_ms)
  local attempt = redis.call('HINCRBY', record, 'attempt', 1)
  if not source then
    source = redis.call('HGET', meta, 'thread') or ''
    redis.call('HSET', record, 'source', source, 'base', source)
  end
  local input, quoted = read_entry(input_seq) or '', ''
  if string.find(input, '"reply_to":', 1, true) then
    local reply_to = cjson.decode(input).data.reply_to
    quoted = reply_to and read_entry(reply_to) or ''
  end
  local now_known = redis.call('HMGET', meta, 'epoch', 'graph', 'agent_name', 'context')
  local attempts = (redis.call('HGET', record, 'attempts') or '') .. ' ' .. now_known[1] .. '#' .. token
  redis.call('HSET', record, 'status', 'running', 'node', node_name, 'owner', node_id, 'token', token, 'batch', 0, 'attempts', attempts)
  forget_written(record)
  publish_run(run_id)
  return {'ok', 'token', token, 'run_id', run_id, 'attempt', attempt, 'input_seq', input_seq, 'epoch', now_known[1],
    'input', input, 'quoted', quoted, 'kind', kind, 'failures', redis.call('HGET', record, 'failures'),
    'source', known[4] or source, 'began_from', source, 'answers', known[5] or '', 'replaces', known[6] or '',
    'graph', now_known[2], 'agent_name', now_known[3],
    'base', redis.call('HGET', record, 'base') or '', 'person', known[7] or '', 'context', now_known[4] or '',
    'lost', select(2, string.gsub(redis.call('HGET', record, 'lost') or '', ' ', ''))}
end)

-- What the scripts that begin or end runs share.
-- include: entry

-- The data of an entry by the agent: its own members, and those in `rest` (name, value, ...).
local function agent_data(...)
  local known = redis.call('HMGET', meta, 'graph', 'agent_name')
  return object('role', 'assistant', 'user_id', 'agent:' .. (known[1] or 'agent'), 'name', known[2] or 'Agent', ...)
end

-- Record a run and ring the bell of its queue, before any node may execute it. Runs are taken in the order of `place`.
local function begin_run(run_id, kind, place, input_seq, ...)
  redis.call('HSET', run_prefix .. run_id, 'conversation_id', conversation_id, 'kind', kind, 'input_seq', input_seq,
    'status', 'pending', 'attempt', 0, 'chars', 0, 'failures', 0, ...)
  redis.call('ZADD', unfinished, place, run_id)
  redis.call('XADD', runs, '*', 'conversation_id', conversation_id)
  redis.call('HINCRBY', stats, 'runs', 1)
end

-- End a run with its one final entry. Its checkpoints become the conversation's state if `moves`.
local function end_run(run_id, status, entry_type, data, moves)
  local record = run_prefix .. run_id
  local known = redis.call('HMGET', record, 'attempt', 'input_seq', 'thread', 'base', 'attempts')
  local seq = append_entry(entry_type, data)
  redis.call('HSET', record, 'status', status, 'final_seq', seq)
  redis.call('PEXPIRE', record, RUN_RECORD_KEPT_MS)
  redis.call('DEL', record .. ':text', record .. ':updates')
  redis.call('ZREM', unfinished, run_id)
  if redis.call('HGET', lease, 'run_id') == run_id then redis.call('DEL', lease) end
  redis.call('HINCRBY', stats, 'runs_finished', 1)
  -- From where the turn would begin again, should it be regenerated or its message edited.
  redis.call('HSET', meta, 'turn_seq', known[2], 'turn_final', seq, 'turn_base',
    known[4] or redis.call('HGET', meta, 'thread') or '')
  if moves and known[3] then
    redis.call('HSET', meta, 'thread', known[3])
    redis.call('LPUSH', threads, known[3])
  end
  -- The threads of attempts that did not make it are to be deleted.
  local current = redis.call('HGET', meta, 'thread')
  for attempt in string.gmatch(known[5] or '', '%S+') do
    local used = conversation_id .. '@' .. attempt
    if used ~= current then redis.call('SADD', retired, used) end
  end
  -- What was written just now expires with the rest of a conversation that nobody can reach.
  local still_ms = redis.call('PTTL', meta)
  if still_ms > 0 then
    for _, key in ipairs(own_keys()) do redis.call('PEXPIRE', key, still_ms) end
  end
  publish('run:finished', conversation_room, object('conversation_id', conversation_id, 'run_id', run_id,
    'attempt', tonumber(known[1]), 'status', status, 'seq', seq))
  return seq
end

-- The text of an attempt is void on every device.
local function withdraw(run_id, attempt, chars)
  publish('run:superseded', conversation_room, object('conversation_id', conversation_id, 'run_id', run_id,
    'attempt', tonumber(attempt), 'withdrawn_chars', tonumber(chars)))
end

-- End a run because a member stops it, or because a newer message takes its place. Its lease is gone with it: the node
-- that executes it may write no more. The text so far is kept, unless the run is rolled back. `by` is JSON text.
local function stop_run(run_id, rollback, by)
  local record = run_prefix .. run_id
  local known = redis.call('HMGET', record, 'attempt', 'input_seq', 'chars', 'replaces')
  local text = not rollback and redis.call('GET', record .. ':text') or ''
  if rollback and known[1] ~= '0' then withdraw(run_id, known[1], known[3]) end
  local stopped = {'text', text, 'run_id', run_id, 'attempt', tonumber(known[1]), 'input_seq', tonumber(known[2]),
    'rolled_back', rollback, 'by', raw(by)}
  if known[4] then
    stopped[#stopped + 1] = 'replaces'
    stopped[#stopped + 1] = tonumber(known[4])
  end
  end_run(run_id, 'stopped', 'stopped', agent_data(unpack(stopped)), not rollback)
end

-- An interrupt is settled: `outcome` is JSON text of an object that says how.
local function settle(interrupt_id, outcome)
  local data = with_fields(outcome, 'interrupt_id', interrupt_id)
  local seq = append_entry('interrupt_resolved', data)
  publish('interrupt:resolved', conversation_room, with_fields(data, 'conversation_id', conversation_id, 'seq', seq))
  return seq
end

-- Open interrupts lose their meaning when the dialog continues without an answer.
local function supersede_interrupts()
  for _, id in ipairs(redis.call('HKEYS', interrupts)) do settle(id, object('outcome', 'superseded')) end
  redis.call('DEL', interrupts, answers)
end

-- Put after `_entry.lua` before the scripts that begin or end runs.

-- A finished run's record is kept so long (s) for those who look back.
local RECORD_TTL = 86400

-- The agent's part of an entry's data, without the braces.
local function agent()
  local known = redis.call('HMGET', meta, 'graph', 'agent_name')
  return '"role":"assistant","user_id":' .. cjson.encode('agent:' .. (known[1] or 'agent')) .. ',"name":'
    .. cjson.encode(known[2] or 'Agent')
end

-- Put a run on record and on the queue, before anyone may start it. Runs are taken in the order of `place`.
local function begin_run(run_id, kind, place, input_seq, ...)
  redis.call('HSET', run_prefix .. run_id, 'conversation_id', conversation_id, 'kind', kind, 'input_seq', input_seq,
    'status', 'pending', 'attempt', 0, 'chars', 0, 'failures', 0, ...)
  redis.call('ZADD', unfinished, place, run_id)
  redis.call('XADD', runs, '*', 'conversation_id', conversation_id)
  redis.call('HINCRBY', stats, 'runs', 1)
end

-- End a run with its one final entry. Its checkpoints become the conversation's state if `moves`.
local function end_run(run_id, status, type, data, moves)
  local record = run_prefix .. run_id
  local known = redis.call('HMGET', record, 'attempt', 'input_seq', 'thread', 'base', 'attempts')
  local seq = append_entry(type, data)
  redis.call('HSET', record, 'status', status, 'final_seq', seq)
  redis.call('EXPIRE', record, RECORD_TTL)
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
  publish('run:finished', conversation_room, string.format(
    '{"conversation_id":%s,"run_id":"%s","attempt":%s,"status":"%s","seq":%d}', cjson.encode(conversation_id),
    run_id, known[1], status, seq))
  return seq
end

-- The text of an attempt is void on every device.
local function withdraw(run_id, attempt, chars)
  publish('run:superseded', conversation_room, string.format(
    '{"conversation_id":%s,"run_id":"%s","attempt":%d,"withdrawn_chars":%d}', cjson.encode(conversation_id), run_id,
    attempt, chars))
end

-- End a run because somebody wants so. Its lease is gone with it: whoever executes it may write no more.
-- The text so far is kept, unless the run is rolled back. `by` is JSON.
local function stop_run(run_id, rollback, by)
  local record = run_prefix .. run_id
  local known = redis.call('HMGET', record, 'attempt', 'input_seq', 'chars', 'replaces')
  local text = not rollback and redis.call('GET', record .. ':text') or ''
  if rollback and known[1] ~= '0' then withdraw(run_id, known[1], known[3]) end
  end_run(run_id, 'stopped', 'stopped', string.format(
    '{%s,"text":%s,"run_id":"%s","attempt":%s,"input_seq":%s,"rolled_back":%s,"by":%s%s}', agent(),
    cjson.encode(text), run_id, known[1], known[2], rollback and 'true' or 'false', by,
    known[4] and ',"replaces":' .. known[4] or ''), not rollback)
end

-- An interrupt is settled: `how` is the rest of the data, JSON without the braces.
local function settle(interrupt_id, how)
  local data = '{"interrupt_id":' .. cjson.encode(interrupt_id) .. ',' .. how .. '}'
  local seq = append_entry('interrupt_resolved', data)
  publish('interrupt:resolved', conversation_room, string.format('{"conversation_id":%s,"seq":%d,%s',
    cjson.encode(conversation_id), seq, string.sub(data, 2)))
  return seq
end

-- Open interrupts lose their meaning when the dialog goes on without an answer.
local function supersede_interrupts()
  for _, id in ipairs(redis.call('HKEYS', interrupts)) do settle(id, '"outcome":"superseded"') end
  redis.call('DEL', interrupts, answers)
end

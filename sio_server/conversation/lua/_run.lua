-- What the scripts that begin or end runs share.
-- include: entry bell

-- The data of an entry by the agent: its own members, and those in `rest` (name, value, ...).
local function agent_data(...)
  local known = redis.call('HMGET', meta, 'graph', 'agent_name')
  return object('role', 'assistant', 'user_id', 'agent:' .. (known[1] or 'agent'), 'name', known[2] or 'Agent', ...)
end

-- The key of the text of a run's part so far.
local function part_text(record, part)
  return record .. ':text:' .. string.format('%.0f', part)
end

-- What a run has said so far: the heads of its parts (JSON objects), and the text of each.
local function written_parts(record)
  local heads, texts = redis.call('LRANGE', record .. ':parts', 0, -1), {}
  for i = 1, #heads do texts[i] = redis.call('GET', part_text(record, i - 1)) or '' end
  return heads, texts
end

-- Nothing is left of what a run has said and reported.
local function forget_written(record)
  for part = 0, redis.call('LLEN', record .. ':parts') - 1 do redis.call('DEL', part_text(record, part)) end
  redis.call('DEL', record .. ':parts', record .. ':reports')
end

-- Add a batch of what a run has said and reported, and publish it; see `add_written`. One that came already, or before
-- those that it follows, is left out. Returns the number of the last that is there.
local function add_batch(run_id, attempt, batch, parts, heads, reports)
  local record = run_prefix .. run_id
  local there = tonumber(redis.call('HGET', record, 'batch') or '0')
  if there ~= tonumber(batch) - 1 then return there end
  redis.call('HSET', record, 'batch', batch)
  for _, head in ipairs(cjson.decode(heads)) do redis.call('RPUSH', record .. ':parts', head) end
  for _, written in ipairs(cjson.decode(parts)) do
    if written.text ~= '' then redis.call('APPEND', part_text(record, written.part), written.text) end
    if written.cut then
      local head = redis.call('LINDEX', record .. ':parts', written.part)
      redis.call('LSET', record .. ':parts', written.part, with_fields(head, 'cut', true))
    end
  end
  local reported = cjson.decode(reports)
  for _, report in ipairs(reported) do redis.call('RPUSH', record .. ':reports', report) end
  redis.call('LTRIM', record .. ':reports', -MAX_REPORTS, -1)
  publish_next('run:written', 'run_id', run_id, 'version', tonumber(attempt), 'parts', raw(parts),
    'reports', raw('[' .. table.concat(reported, ',') .. ']'))
  return tonumber(batch)
end

-- What an unfinished run is doing, as views and events say it (JSON). `parts` and `reports` are JSON.
local function run_state(run_id, parts, reports)
  local known = redis.call('HMGET', run_prefix .. run_id, 'input_seq', 'attempt', 'node', 'replaces', 'status')
  local attempt, replaces = tonumber(known[2]), known[4] and tonumber(known[4]) or null
  return object('run_id', run_id, 'turn_id', tonumber(known[1]), 'status', known[5], 'attempt', attempt,
    'version', attempt, 'node', known[3] or '', 'replaces', replaces,
    'parts', raw(parts), 'reports', raw(reports))
end

-- Show that a run is in another status, or a later attempt: what it says in the same version stays.
local function publish_run(run_id)
  publish_next('run:changed', 'run', raw(run_state(run_id, '[]', '[]')))
end

-- Record a run and ring the bell of its queue, before any node may execute it. Runs are taken in the order of `place`.
local function begin_run(run_id, kind, place, input_seq, ...)
  redis.call('HSET', run_prefix .. run_id, 'conversation_id', conversation_id, 'kind', kind, 'input_seq', input_seq,
    'status', 'queued', 'attempt', 0, 'batch', 0, 'failures', 0, ...)
  redis.call('ZADD', unfinished, place, run_id)
  ring(conversation_id)
  redis.call('HINCRBY', stats, 'runs', 1)
  publish_run(run_id)
end

-- End a run with its one final entry. Its checkpoints become the conversation's state if `moves`. What came of the turn
-- before is current no longer when the run has answered it again; `rolled_back`: nothing is left of the run itself.
-- `whole`: the whole data (JSON) when `data` is shortened, or ''.
local function end_run(run_id, status, entry_type, data, whole, moves, rolled_back)
  local record = run_prefix .. run_id
  local known = redis.call('HMGET', record, 'replaces', 'input_seq', 'thread', 'base', 'attempts')
  local about = {turn_id = known[2], hides = {}, hides_itself = rolled_back, whole = whole, subject = run_id}
  if known[1] and not rolled_back then
    for _, seq in ipairs(current_entries(known[2])) do
      if seq ~= known[2] then about.hides[#about.hides + 1] = seq end
    end
  end
  local seq = append_entry(entry_type, data, about)
  redis.call('HSET', record, 'status', status, 'final_seq', seq)
  redis.call('PEXPIRE', record, RUN_RECORD_KEPT_MS)
  forget_written(record)
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
  expire_with_rest()
  return seq
end

-- End a run because a member stops it, or because a newer message takes its place. Its lease is gone with it: the node
-- that executes it may write no more. What was said so far is kept, unless the run is rolled back. `by` is JSON text.
local function stop_run(run_id, rollback, by)
  local record = run_prefix .. run_id
  local known = redis.call('HMGET', record, 'attempt', 'input_seq', 'replaces', 'node')
  local stopped = {'run_id', run_id, 'attempt', tonumber(known[1]), 'input_seq', tonumber(known[2]),
    'rolled_back', rollback, 'by', raw(by)}
  if known[3] then
    stopped[#stopped + 1] = 'replaces'
    stopped[#stopped + 1] = tonumber(known[3])
  end
  if known[4] then
    stopped[#stopped + 1] = 'node'
    stopped[#stopped + 1] = known[4]
  end
  local heads, texts = {}, {}
  if not rollback then heads, texts = written_parts(record) end
  local said, parts, plain = {}, {}, #heads == 1
  for i, head in ipairs(heads) do
    local part = cjson.decode(head)
    if part.kind == 'text' and texts[i] ~= '' then said[#said + 1] = texts[i] end
    plain = plain and part.kind == 'text' and part.speaker == redis.call('HGET', meta, 'agent_name')
    -- A number and a mark of the stream, which entries do not have.
    local rest = string.gsub(string.gsub(head, '^{"cut":true,', '{'), '^{"part":%d+,', '{')
    parts[i] = with_fields(rest, 'text', texts[i])
  end
  local text = table.concat(said, '\n\n')
  local whole = {'text', text, unpack(stopped)}
  if #parts > 0 and not plain then
    whole[#whole + 1] = 'parts'
    whole[#whole + 1] = raw('[' .. table.concat(parts, ',') .. ']')
  end
  local data, all = agent_data(unpack(whole)), ''
  if #data > ENTRY_BYTES_SHOWN then
    -- JSON takes at most 6 bytes for each of the text.
    data, all = agent_data('text', beginning(text, ENTRY_BYTES_SHOWN / 8), unpack(stopped)), data
  end
  end_run(run_id, 'stopped', 'stopped', data, all, not rollback, rollback)
end

-- An interrupt is settled: `outcome` is JSON text of an object that says how.
local function settle(interrupt_id, outcome)
  local data = with_fields(outcome, 'interrupt_id', interrupt_id)
  return append_entry('interrupt_resolved', data, {turn_id = redis.call('HGET', meta, 'asked_for')})
end

-- Open interrupts lose their meaning when the dialog continues without an answer.
local function supersede_interrupts()
  for _, id in ipairs(redis.call('HKEYS', interrupts)) do settle(id, object('outcome', 'superseded')) end
  redis.call('DEL', interrupts, forms, answers)
end

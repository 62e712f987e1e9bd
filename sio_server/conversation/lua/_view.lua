-- What members may know of a conversation at one moment, apart from its entries, as JSON text where it is sent as it is.
-- include: run
local function read_marks()
  local found, parts = redis.call('HGETALL', reads), {}
  for i = 1, #found, 2 do parts[#parts + 1] = json(found[i]) .. ':' .. found[i + 1] end
  return '{' .. table.concat(parts, ',') .. '}'
end

local function delivery_marks()
  local found, parts = redis.call('ZREVRANGE', delivered, 0, MAX_DELIVERED - 1, 'WITHSCORES'), {}
  for i = 1, #found, 2 do
    local user_id, device_id = string.match(found[i], '^(%S+) (%S+)$')
    parts[#parts + 1] = object('user_id', user_id, 'device_id', device_id, 'seq', raw(found[i + 1]))
  end
  return '[' .. table.concat(parts, ',') .. ']'
end

-- A run with what it has said so far (JSON).
local function run_now(run_id)
  local record = run_prefix .. run_id
  local parts, texts = written_parts(record)
  for part, head in ipairs(parts) do parts[part] = with_fields(head, 'text', texts[part]) end
  local reports = table.concat(redis.call('LRANGE', record .. ':reports', 0, -1), ',')
  return run_state(run_id, '[' .. table.concat(parts, ',') .. ']', '[' .. reports .. ']')
end

local function unfinished_runs()
  local runs_now = {}
  for i, run_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do runs_now[i] = run_now(run_id) end
  return '[' .. table.concat(runs_now, ',') .. ']'
end

-- The reply that says what is known: meta (values: epoch, first, seq, ts, n, and the settings), runs, reads and delivered
-- (JSON; '' unless `with_marks`), interrupts (ids of the open ones), asked (the entry that asks them, or ''); or
-- {'unknown_conversation'}.
local function view_reply(with_marks)
  -- What was said so far may be less than devices were shown. A store that cannot write answers all the same.
  if redis.call('EXISTS', unfinished) == 1 then pcall(notice_promotion) end
  local known = redis.call('HMGET', meta, 'epoch', 'first', 'seq', 'ts', 'n',
    'title', 'access', 'agent', 'graph', 'multitask', 'approvals', 'invites', 'owner')
  if not known[1] then return {'unknown_conversation'} end
  local open = redis.call('HKEYS', interrupts)
  return {'ok', 'meta', known, 'runs', unfinished_runs(), 'reads', with_marks and read_marks() or '',
    'delivered', with_marks and delivery_marks() or '', 'interrupts', open,
    'asked', #open > 0 and read_entry(redis.call('HGET', meta, 'asked_seq')) or ''}
end

local function add(reply, ...)
  for _, value in ipairs({...}) do reply[#reply + 1] = value end
  return reply
end

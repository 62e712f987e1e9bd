-- A user's message: membership, dedupe, next seq, log, run queue and bus in one step.
-- ARGV: 4 user id, 5 data (JSON), 6 client_id, 7 digest of the body, 8 run id to use,
--       9 the names it mentions with a space before and after each, 10 seq of the message it edits or '',
--       11 who writes (JSON), for runs that this stops, 12 epoch, 13 seq and 14 ts of the last entry that the node has
--       handed out here, or '', 15 the epoch of a new life, should the log have lost that entry
-- Returns {'ok', ack (JSON), '1' if it was new} or {error code}.
local user_id, data, client_id, digest, run_id, mentioned = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local edits, by = ARGV[10], ARGV[11]

-- Dedupe comes before membership: who has left since still gets the ack of what was accepted.
local field = user_id .. ' ' .. client_id
local before = redis.call('HGET', sent, field)
if before then
  if string.sub(before, 1, 40) ~= digest then return {'client_id_reused'} end
  return {'ok', string.sub(before, 42), '0'}
end

local refusal = stranger(user_id)
if refusal then return refusal end

if ARGV[13] ~= '' then
  local now_known = redis.call('HMGET', meta, 'epoch', 'seq', 'ts')
  local ahead = tonumber(ARGV[13]) - tonumber(now_known[2])
  if now_known[1] == ARGV[12] and (ahead > 0 or (ahead == 0 and now_known[3] ~= ARGV[14])) then begin_life(ARGV[15]) end
end

local known = redis.call('HMGET', meta, 'agent', 'graph', 'multitask', 'message_seq', 'message_user', 'turn_seq', 'turn_base')
local function names(name) return string.find(mentioned, ' ' .. string.lower(name) .. ' ', 1, true) end
local answered = known[1] == 'always' or (known[1] == 'mention' and (names('agent') or names(known[2])))
local waiting = redis.call('ZRANGE', unfinished, 0, -1)

if edits ~= '' then
  if known[4] ~= edits then return {'not_latest'} end
  if known[5] ~= user_id then return {'not_allowed'} end
end
if answered and edits == '' and #waiting > 0 and known[3] == 'reject' then return {'run_in_progress'} end

-- Where the new run begins, if not where the dialog stands: an edited message takes back what came of it.
local base = edits ~= '' and known[6] == edits and known[7]
for _, other in ipairs(waiting) do
  local edited = edits ~= '' and redis.call('HGET', run_prefix .. other, 'input_seq') == edits
  if edited then base = redis.call('HGET', run_prefix .. other, 'base') or base end
  if edited or (answered and (known[3] == 'interrupt' or known[3] == 'rollback')) then
    stop_run(other, edited or known[3] == 'rollback', by)
  end
end

local seq, epoch, ts = append_entry('message', data, field)
local ack = string.format('{"conversation_id":%s,"epoch":"%s","seq":%d,"ts":"%s","run_id":%s}',
  cjson.encode(conversation_id), epoch, seq, ts, answered and cjson.encode(run_id) or 'null')
redis.call('HSET', sent, field, digest .. ' ' .. ack)
redis.call('HSET', meta, 'message_seq', seq, 'message_user', user_id)
if answered then
  if base then
    begin_run(run_id, 'message', seq, seq, 'source', base, 'base', base)
  else
    begin_run(run_id, 'message', seq, seq)
  end
elseif base then
  -- Nobody answers the edited message, but the dialog forgets what came of the old one all the same.
  redis.call('HSET', meta, 'thread', base)
  supersede_interrupts()
end
return {'ok', ack, '1'}

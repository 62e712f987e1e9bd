-- A user's message: membership, dedupe, next seq, log, run queue and bus in one step.
--   data            of the entry (JSON)
--   digest          of the body, 40 hexadecimal digits
--   run_id          used if the agent answers
--   mentioned       the names that the text mentions, with a space before and after each
--   people          whom the text mentions by name, with a space before and after each, or ''
--   edits           seq of the message that this one edits, or ''
--   by              who writes (JSON), for runs that this stops
--   seen_epoch, seen_seq, seen_ts   the last entry that the node has delivered here, or ''
--   new_epoch       used if the log has lost that entry
--   quota           '' if the bytes that a user writes are not limited
-- Returns grant_needed: wanted (bytes), when more has to be granted to the user first.
-- Returns ok: ack (JSON), new ('1' or '0'); or an error code.
-- keys: conversation
-- include: run
local user_id, data, request_id, digest, run_id, mentioned, people, edits, by, seen_epoch, seen_seq, seen_ts, new_epoch,
  quota
  = unpack(ARGV)

-- Dedupe comes before membership: a user who has left since still gets the ack of what was accepted.
local field = user_id .. ' ' .. request_id
local before = redis.call('HGET', sent, field)
if before then
  if string.sub(before, 1, 40) ~= digest then return {'request_id_reused'} end
  return {'ok', 'ack', string.sub(before, 42), 'new', '0'}
end

local refusal = refuse_non_member(user_id)
if refusal then return refusal end
refusal = refuse_ungranted(user_id, #data + ENTRY_BYTES, quota)
if refusal then return refusal end

if seen_seq ~= '' then
  local last = redis.call('HMGET', meta, 'epoch', 'seq', 'ts')
  local ahead = tonumber(seen_seq) - tonumber(last[2])
  if last[1] == seen_epoch and (ahead > 0 or (ahead == 0 and last[3] ~= seen_ts)) then begin_epoch(new_epoch) end
end

local known = redis.call('HMGET', meta, 'agent', 'graph', 'multitask', 'message_seq', 'message_user', 'turn_seq', 'turn_base')
local agent, graph, multitask = known[1], known[2], known[3]
local function mentions(name) return string.find(mentioned, ' ' .. string.lower(name) .. ' ', 1, true) end
local answered = agent == 'always' or (agent == 'mention' and (mentions('agent') or mentions(graph)))
local waiting = redis.call('ZRANGE', unfinished, 0, -1)

if edits ~= '' then
  if known[4] ~= edits then return {'not_latest'} end
  if known[5] ~= user_id then return {'not_allowed'} end
end
if answered and edits == '' and #waiting > 0 and multitask == 'reject' then return {'run_in_progress'} end

-- Where the new run begins, if not where the dialog stands: an edited message takes back what came of it.
local base = edits ~= '' and known[6] == edits and known[7]
for _, other in ipairs(waiting) do
  local edited = edits ~= '' and redis.call('HGET', run_prefix .. other, 'input_seq') == edits
  if edited then base = redis.call('HGET', run_prefix .. other, 'base') or base end
  if edited or (answered and (multitask == 'interrupt' or multitask == 'rollback')) then
    stop_run(other, edited or multitask == 'rollback', by)
  end
end

mentioned_people = people
local seq, epoch, ts = append_entry('message', data, field)
local ack = object('conversation_id', conversation_id, 'epoch', epoch, 'seq', seq, 'ts', ts,
  'run_id', answered and run_id or null)
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
return {'ok', 'ack', ack, 'new', '1'}

-- A user's message: membership, dedupe, next seq, log, run queue and bus in one step.
--   data            of the entry (JSON)
--   run_id          used if the agent answers
--   mentioned       the names that the text mentions, with a space before and after each
--   people          whom the text mentions by name, with a space before and after each, or ''
--   edits           seq of the message that this one edits, or ''
--   after           request_id of the user's message that must be in the log before this one, or ''
--   by              who writes (JSON)
--   person          the same, as the graph is told of it (JSON)
--   seen_epoch, seen_seq, seen_ts   the last entry that the node has delivered here, or ''
--   new_epoch       used if the log has lost that entry
--   quota           '' if the bytes that a user writes are not limited
-- Returns grant_needed: wanted (bytes), when more has to be granted to the user first.
-- Returns ok: ack (JSON); or an error code.
-- keys: conversation
-- include: run request
local user_id, data, after, run_id, mentioned, people, edits, by, person, seen_epoch, seen_seq, seen_ts, new_epoch,
  quota = unpack(ARGV)
acting_session = cjson.decode(by).session_id

-- This comes before membership: a user who has left since still gets the ack of what was accepted.
made.always = true
local repeated = first_reply()
if repeated then return repeated end

local refusal = refuse_non_member(user_id)
if refusal then return refusal end
refusal = refuse_ungranted(user_id, #data + ENTRY_BYTES, quota)
if refusal then return refusal end

if after ~= '' and redis.call('HEXISTS', sent, user_id .. ' ' .. after) == 0
  and redis.call('HGET', sent, user_id) ~= after then
  return {'out_of_order'}
end

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

local hides = nil
if edits ~= '' then
  -- What came of the old message goes with it, its open questions included.
  if redis.call('HGET', meta, 'asked_for') == edits then supersede_interrupts() end
  hides = current_entries(edits)
end
if answered then data = with_fields(data, 'run_id', run_id) end
local seq, epoch, ts = append_entry('message', data, {counts_for = user_id, hides = hides, mentions = people})
local ack = object('conversation_id', conversation_id, 'epoch', epoch, 'seq', seq, 'ts', ts,
  'run_id', answered and run_id or null)
redis.call('HSET', meta, 'message_seq', seq, 'message_user', user_id)
if answered then
  if base then
    begin_run(run_id, 'message', seq, seq, 'person', person, 'source', base, 'base', base)
  else
    begin_run(run_id, 'message', seq, seq, 'person', person)
  end
elseif base then
  -- Nobody answers the edited message, but the dialog forgets what came of the old one all the same.
  redis.call('HSET', meta, 'thread', base)
  supersede_interrupts()
end
return keep_reply({'ok', 'ack', ack})

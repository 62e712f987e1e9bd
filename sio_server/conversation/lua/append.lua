-- A user's message: membership, dedupe, next seq, log, run queue and bus in one step.
--   data            of the entry (JSON)
--   run_id          used if the agent answers
--   mentioned       the names that the text mentions, with a space before and after each
--   people          whom the text mentions by name, with a space before and after each, or ''
--   edits           seq of the message that this one edits, or ''
--   reply_to        seq of the message or final entry that this one answers, or ''
--   reply_known     '1': it is in the archive
--   file_ids        of the files that the message has: uploads of the user that no other message has (JSON array), or ''
--   after           request_id of the user's message that must be in the log before this one, or ''
--   by              who writes (JSON)
--   person          the same, as the graph is told of it (JSON)
--   session_id      in which session
--   answer          '1': the agent answers, '0': it does not, '': as the conversation is set
--   bot_turns       '' for a person; of a bot: how many messages of bots, and answers to them, in a row begin runs
--   seen            the last entry that the node has delivered here, "<epoch> <seq> <ts>", or ''
--   quota           '' if the bytes that a user writes are not limited
-- Returns grant_needed: wanted (bytes), when more has to be granted to the user first.
-- Returns unknown_reply or unknown_file when there is no such entry or file.
-- Returns ok: ack (JSON); or an error code.
-- keys: conversation
-- include: run request
local user_id, data, after, run_id, mentioned, people, edits, reply_to, reply_known, file_ids, by, person, session_id, answer, bot_turns, seen, quota = unpack(ARGV)
acting_session = session_id

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

notice_promotion()
-- What `append_entry` has to know comes first. It is read again there if this step has written an entry before.
local known = redis.call('HMGET', meta, 'seq', 'epoch', 'first', 'retention', 'n', 'said_seq', 'ts',
  'agent', 'graph', 'multitask', 'message_seq', 'message_user', 'turn_seq', 'turn_base', 'bots')
local as_known = known
if seen ~= '' and seen ~= known[2] .. ' ' .. known[1] .. ' ' .. known[7] then
  local seen_epoch, seen_seq, seen_ts = string.match(seen, '^(%S+) (%S+) (%S*)$')
  local ahead = tonumber(seen_seq) - tonumber(known[1])
  if known[2] == seen_epoch and (ahead > 0 or (ahead == 0 and known[7] ~= seen_ts)) then
    begin_epoch(call_id)
    as_known = nil
  end
end

local agent, graph, multitask = known[8], known[9], known[10]
local answered = agent == 'always'
if agent == 'mention' and mentioned ~= '' then
  answered = string.find(mentioned, ' agent ', 1, true) or string.find(mentioned, ' ' .. string.lower(graph) .. ' ', 1, true)
end
if answer ~= '' then answered = answer == '1' end
-- Bots and agents that answer each other come to rest, until a person says something.
local bots = tonumber(known[15] or '0')
if bot_turns ~= '' and bots >= tonumber(bot_turns) then answered = false end
-- Which runs are unfinished matters only to a message that may end them, or be refused because of them.
local waiting = {}
if edits ~= '' or (answered and multitask ~= 'enqueue') then waiting = redis.call('ZRANGE', unfinished, 0, -1) end

if edits ~= '' then
  if known[11] ~= edits then return {'not_latest'} end
  if known[12] ~= user_id then return {'not_allowed'} end
end
local before = edits ~= '' and reply_to ~= '' and read_entry(edits)
-- An edit keeps its reply, also to a message that was deleted since.
local keeps_reply = before and cjson.decode(before).data.reply_to == tonumber(reply_to)
if reply_to ~= '' and reply_known ~= '1' and not keeps_reply then
  local found = read_entry(reply_to)
  local envelope = found and cjson.decode(found)
  if not envelope or not takes_replies[envelope.type] or envelope.data.deleted then return {'unknown_reply'} end
end
local taken = {}
for i, file_id in ipairs(file_ids ~= '' and cjson.decode(file_ids) or {}) do
  local had_by, owner, about = string.match(redis.call('HGET', files, file_id) or '', '^(%d+) (%S+) (.*)$')
  if owner ~= user_id or (had_by ~= '0' and had_by ~= edits) then return {'unknown_file'} end
  taken[i] = {id = file_id, about = about}
end
if answered and edits == '' and #waiting > 0 and multitask == 'reject' then return {'run_in_progress'} end

-- Where the new run begins, if not where the dialog stands: an edited message takes back what came of it.
local base = edits ~= '' and known[13] == edits and known[14]
for _, other in ipairs(waiting) do
  local edited = edits ~= '' and redis.call('HGET', run_prefix .. other, 'input_seq') == edits
  if edited then base = redis.call('HGET', run_prefix .. other, 'base') or base end
  if edited or (answered and (multitask == 'interrupt' or multitask == 'rollback')) then
    stop_run(other, edited or multitask == 'rollback', by)
    as_known = nil
  end
end

local hides = nil
if edits ~= '' then
  -- What came of the old message goes with it, its open questions included.
  if redis.call('HGET', meta, 'asked_for') == edits then supersede_interrupts() end
  as_known = nil
  hides = current_entries(edits)
end
if answered then data = with_fields(data, 'run_id', run_id) end
if #taken > 0 then
  local about = {}
  for i, file in ipairs(taken) do about[i] = file.about end
  data = with_fields(data, 'files', raw('[' .. table.concat(about, ',') .. ']'))
end
local seq, epoch, ts = append_entry('message', data,
  {counts_for = user_id, hides = hides, mentions = people, known = as_known})
for _, file in ipairs(taken) do
  redis.call('HSET', files, file.id, json(seq) .. ' ' .. user_id .. ' ' .. file.about)
  redis.call('ZREM', files_due, conversation_id .. ' ' .. file.id)
end
if bot_turns ~= '' then
  redis.call('HSET', meta, 'bots', bots + (answered and 2 or 1))
elseif bots > 0 then
  redis.call('HDEL', meta, 'bots')
end
local ack = '{"conversation_id":' .. json(conversation_id) .. ',"epoch":' .. json(epoch) .. ',"seq":' .. json(seq)
  .. ',"ts":"' .. ts .. '","run_id":' .. (answered and json(run_id) or 'null') .. '}'
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

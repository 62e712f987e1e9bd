-- Answer the last turn's message again, from where that turn began. `seq` is that of the turn's final entry; `run_id` is
-- used for the new run, `person` (JSON) is who asks for it, as the graph is told of it. Returns ok: run_id; or an error
-- code. The same seq again returns the same run.
-- keys: conversation
-- include: run request
local user_id, session_id, seq, run_id, person = unpack(ARGV)
acting_session = session_id
local repeated = first_reply()
if repeated then return repeated end
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local known = redis.call('HMGET', meta, 'regenerated', 'regenerated_by', 'turn_final', 'turn_seq', 'turn_base', 'first')
if known[1] == seq then return keep_reply({'ok', 'run_id', known[2]}) end
if redis.call('ZCARD', unfinished) > 0 then return {'run_in_progress'} end
-- The message of a turn that is not in the log any more cannot be answered again.
if known[3] ~= seq or tonumber(known[4]) < tonumber(known[6]) then return {'not_latest'} end
supersede_interrupts()
begin_run(run_id, 'message', known[4], known[4], 'person', person, 'source', known[5], 'base', known[5], 'replaces', seq)
redis.call('HSET', meta, 'regenerated', seq, 'regenerated_by', run_id)
return keep_reply({'ok', 'run_id', run_id})

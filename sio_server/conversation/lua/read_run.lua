-- What is known of a run: of one that has ended, for as long as its record is kept.
-- Returns ok: run (its state with what it has said, JSON), final (the entry that ended it, or ''); or an error code.
-- keys: conversation
-- include: view
local user_id, run_id = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local known = redis.call('HMGET', run_prefix .. run_id, 'conversation_id', 'final_seq')
if known[1] ~= conversation_id then return {'not_found'} end
return {'ok', 'run', run_now(run_id), 'final', known[2] and read_entry(known[2]) or ''}

-- Answer the last turn's message anew, from where that turn began. ARGV: 4 user id, 5 seq of the turn's final
-- entry, 6 run id to use. Returns {'ok', run id} or {error code}; the same seq again returns the same run.
local refusal = stranger(ARGV[4])
if refusal then return refusal end
local known = redis.call('HMGET', meta, 'regenerated', 'regenerated_by', 'turn_final', 'turn_seq', 'turn_base')
if known[1] == ARGV[5] then return {'ok', known[2]} end
if redis.call('ZCARD', unfinished) > 0 then return {'run_in_progress'} end
if known[3] ~= ARGV[5] then return {'not_latest'} end
supersede_interrupts()
begin_run(ARGV[6], 'message', known[4], known[4], 'source', known[5], 'base', known[5], 'replaces', ARGV[5])
redis.call('HSET', meta, 'regenerated', ARGV[5], 'regenerated_by', ARGV[6])
return {'ok', ARGV[6]}

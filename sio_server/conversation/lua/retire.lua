-- An owner that lost its lease may have written checkpoints since: have its thread deleted, unless the run continues from
-- it. Returns ok.
-- keys: conversation
local run_id, thread_id = unpack(ARGV)
local used = redis.call('HGET', run_prefix .. run_id, 'thread') == thread_id
if not used and redis.call('HGET', meta, 'thread') ~= thread_id then redis.call('SADD', retired, thread_id) end
return {'ok'}

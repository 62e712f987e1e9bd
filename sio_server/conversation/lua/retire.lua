-- An owner that lost its lease may have written checkpoints since: have its thread deleted, unless the run goes on
-- from it. ARGV: 4 run id, 5 thread id. Returns {'ok'}.
local used = redis.call('HGET', run_prefix .. ARGV[4], 'thread') == ARGV[5]
if not used and redis.call('HGET', meta, 'thread') ~= ARGV[5] then redis.call('SADD', retired, ARGV[5]) end
return {'ok'}

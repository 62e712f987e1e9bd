-- Make the thread a copy of another one. ARGV: 1 thread id, 2 to 4 how many strings of checkpoints, of the order and
-- of values there are, 5.. these, and then the writes, all as `read_thread.lua` returned them
redis.call('UNLINK', checkpoints, order, values, writes)
local in_order = 5 + ARGV[2]
local in_values = in_order + ARGV[3]
local in_writes = in_values + ARGV[4]
for i = 5, in_order - 1, 2 do redis.call('HSET', checkpoints, ARGV[i], ARGV[i + 1]) end
for i = in_order, in_values - 1 do redis.call('RPUSH', order, ARGV[i]) end
for i = in_values, in_writes - 1, 2 do redis.call('HSET', values, ARGV[i], ARGV[i + 1]) end
for i = in_writes, #ARGV do redis.call('ZADD', writes, 0, ARGV[i]) end
redis.call('SADD', threads, ARGV[1])
return 'ok'

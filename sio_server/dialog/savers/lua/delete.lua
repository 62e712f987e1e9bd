-- Delete the thread. ARGV: 1 thread id
redis.call('UNLINK', checkpoints, order, values, writes)
redis.call('SREM', threads, ARGV[1])
return 'ok'

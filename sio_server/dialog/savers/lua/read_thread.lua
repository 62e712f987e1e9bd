-- The whole thread at one moment, to be written to another one: {checkpoints, order, values, writes}.
return {redis.call('HGETALL', checkpoints), redis.call('LRANGE', order, 0, -1), redis.call('HGETALL', values),
  redis.call('ZRANGE', writes, 0, -1)}

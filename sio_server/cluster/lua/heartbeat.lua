-- A node says that it lives. KEYS: 1 all nodes. ARGV: 1 node id, 2 how long a silent node is taken for alive (ms)
-- Returns {'1' if it was not known as alive, ids of the silent nodes, the time in ms}, by Redis' clock.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local new = redis.call('ZADD', KEYS[1], now, ARGV[1])
return {tostring(new), redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%d', now - tonumber(ARGV[2]))),
  string.format('%d', now)}

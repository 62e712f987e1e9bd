-- A node says that it is alive. `silent_ms`: a node that has been silent for longer is taken for dead.
-- Returns ok: unknown ('1' if the node was not known as alive), dead (ids of silent nodes), ms (Redis' time).
local nodes = unpack(KEYS)
local node_id, silent_ms = unpack(ARGV)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local added = redis.call('ZADD', nodes, now, node_id)
return {'ok', 'unknown', tostring(added), 'dead', redis.call('ZRANGEBYSCORE', nodes, '-inf', string.format('(%.0f', now - silent_ms)),
  'ms', string.format('%.0f', now)}

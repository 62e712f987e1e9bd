-- From now on what is appended in the partition is kept for webhooks, for as long as a node delivers them and `kept_ms` longer.
-- An endpoint of `names` (JSON array) that is new begins with what comes now.
-- Returns ok.
local names, kept_ms = unpack(ARGV)
local stream, state = unpack(KEYS)
if redis.call('EXISTS', stream) == 0 then
  redis.call('XDEL', stream, redis.call('XADD', stream, '*', 'e', ''))  -- an empty one
end
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
for _, name in ipairs(cjson.decode(names)) do
  redis.call('HSETNX', state, name .. ' position', last and last[1] or '0-0')
end
redis.call('PEXPIRE', stream, kept_ms)
redis.call('PEXPIRE', state, kept_ms)
return {'ok'}

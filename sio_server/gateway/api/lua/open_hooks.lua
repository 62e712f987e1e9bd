-- From now on what is appended in the partition is kept for webhooks, for as long as a node delivers them and `kept_ms` longer.
-- An endpoint of `names` (JSON array) that is new begins with what comes now.
-- Returns ok.
-- include: time
local names, kept_ms = unpack(ARGV)
local stream, state = unpack(KEYS)
-- A stream is never empty: new endpoints begin after its last entry, which is none of a conversation here.
if redis.call('XLEN', stream) == 0 then redis.call('XADD', stream, '*', 'e', '') end
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
for _, name in ipairs(cjson.decode(names)) do
  redis.call('HSETNX', state, name .. ' position', last[1])
  redis.call('HSETNX', state, name .. ' until', string.format('%.0f', milliseconds()))
end
redis.call('PEXPIRE', stream, kept_ms)
redis.call('PEXPIRE', state, kept_ms)
return {'ok'}

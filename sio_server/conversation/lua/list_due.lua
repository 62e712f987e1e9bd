-- Returns ok: due ("<conversation id> <schedule id>" of at most `count` that are due in a partition, by Redis' clock), in_ms
-- (when the next one after them is due, or '').
-- include: time
local count = unpack(ARGV)
local due = unpack(KEYS)
local now_ms = string.format('%.0f', milliseconds())
local found = redis.call('ZRANGEBYSCORE', due, '-inf', now_ms, 'LIMIT', 0, count)
local later = redis.call('ZRANGEBYSCORE', due, '(' .. now_ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
return {'ok', 'due', found, 'in_ms', later and string.format('%.0f', later - now_ms) or ''}

-- Returns ok: due ("<conversation id> <schedule id>" of at most `count` that are due in a partition, by Redis' clock).
-- include: time
local count = unpack(ARGV)
local due = unpack(KEYS)
return {'ok', 'due', redis.call('ZRANGEBYSCORE', due, '-inf', string.format('%.0f', milliseconds()), 'LIMIT', 0, count)}

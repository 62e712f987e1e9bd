-- Returns ok: ids (of at most `count` conversations of a partition that were not swept since `since_ms`).
local since_ms, count = unpack(ARGV)
return {'ok', 'ids', redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', since_ms, 'LIMIT', 0, count)}

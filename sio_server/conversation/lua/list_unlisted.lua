-- Which conversations a user's list has lost since `since_ms`, or ''. What was lost is known for `kept_ms` milliseconds.
-- Returns ok: now_ms, ids, known ('0': there may have been more, or `since_ms` is no time of the past).
-- keys: user
-- include: time
local since_ms, kept_ms = unpack(ARGV)
local now_ms, since = milliseconds(), tonumber(since_ms)
if not since or since < now_ms - kept_ms or since > now_ms then
  return {'ok', 'now_ms', string.format('%.0f', now_ms), 'ids', {}, 'known', '0'}
end
local oldest = redis.call('ZRANGE', unlisted, 0, 0, 'WITHSCORES')[2]
local full = redis.call('ZCARD', unlisted) >= MAX_UNLISTED
return {'ok', 'now_ms', string.format('%.0f', now_ms), 'ids', redis.call('ZRANGEBYSCORE', unlisted, since, '+inf'),
  'known', (full and since < tonumber(oldest)) and '0' or '1'}

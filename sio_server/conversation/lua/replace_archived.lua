-- The archived entries of the object `name` are in `new_name` from now on. The object is deleted after `kept_ms`.
-- Returns ok: done ('1' or '0': there is no such object any more).
-- keys: conversation
-- include: entry
-- durable
local name, new_name, kept_ms = unpack(ARGV)
local first = redis.call('ZSCORE', archived, new_name)
if first then
  redis.call('HSET', meta, 'archive', redis.call('HGET', meta, 'archive')) -- as it is: see `_request.lua`
  return {'ok', 'done', '1'}
end
first = redis.call('ZSCORE', archived, name)
if not first then return {'ok', 'done', '0'} end
redis.call('ZREM', archived, name)
redis.call('ZADD', gone, milliseconds() + kept_ms, name)
redis.call('ZADD', archived, first, new_name)
return {'ok', 'done', '1'}

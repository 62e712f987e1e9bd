-- The entries `first` to `last` are in the archive, in the object `name`: the log drops them, unless entries were changed since
-- there were `changes`.
-- Returns ok: done ('1' or '0'); or an error code.
-- keys: conversation
-- include: entry
-- durable
local first, last, name, changes = unpack(ARGV)
local known = redis.call('HMGET', meta, 'first', 'changes', 'archived_from')
if not known[1] then return {'unknown_conversation'} end
if redis.call('ZSCORE', archived, name) then
  redis.call('HSET', meta, 'archive', redis.call('HGET', meta, 'archive')) -- as it is: see `_request.lua`
  return {'ok', 'done', '1'}
end
if known[1] ~= first or (known[2] or '0') ~= changes then return {'ok', 'done', '0'} end
redis.call('ZADD', archived, first, name)
redis.call('HSET', meta, 'archived_from', known[3] or first, 'first', tonumber(last) + 1)
drop_entries(tonumber(first), tonumber(last) + 1, true)
return {'ok', 'done', '1'}

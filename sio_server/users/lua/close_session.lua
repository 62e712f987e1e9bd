-- A session of a user has ended. `user_kept_ms`: see `publish_ended`. Returns ok: online ('0' after the last session).
-- keys: user
-- include: devices
local session_id, user_kept_ms = unpack(ARGV)
local value = redis.call('HGET', sessions, session_id)
if not value then return {'ok', 'online', presence()} end
redis.call('HDEL', sessions, session_id)
local known = read_device(string.match(value, '^%S+'))
if known then write_device(known.id, milliseconds(), known.named, known.name) end
publish_ended(user_kept_ms)
return {'ok', 'online', presence()}

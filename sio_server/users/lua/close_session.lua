-- A session of a user has ended. `rooms` are those to tell (JSON array); `user_kept_ms`: see `publish_ended`. Returns ok.
-- keys: user
-- include: devices
local rooms, session_id, user_kept_ms = unpack(ARGV)
local value = redis.call('HGET', sessions, session_id)
if not value then return {'ok'} end
redis.call('HDEL', sessions, session_id)
local known = read_device(string.match(value, '^%S+'))
if known then write_device(known.id, milliseconds(), known.named, known.name) end
publish_ended(rooms, user_kept_ms)
return {'ok'}

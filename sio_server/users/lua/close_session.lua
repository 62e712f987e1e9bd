-- A session of a user has ended. ARGV: 7 rooms to tell (JSON), 8 session id
local value = redis.call('HGET', sessions, ARGV[8])
if not value then return {'ok'} end
redis.call('HDEL', sessions, ARGV[8])
local known = device(string.match(value, '^%S+'))
if known then remember(known.id, known.named, known.name) end
tell_ended(ARGV[7])
return {'ok'}

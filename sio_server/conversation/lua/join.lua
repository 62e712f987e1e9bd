-- Become a member of an open conversation, or of one that one was invited to. ARGV: 4 user id, 5 data (JSON)
-- Returns {'ok', '1' if new} or {error code}. A conversation one may not join looks as if it did not exist.
if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end
if redis.call('HEXISTS', members, ARGV[4]) == 1 then return {'ok', '0'} end
if redis.call('HGET', meta, 'access') ~= 'open' and redis.call('SISMEMBER', invited, ARGV[4]) == 0 then
  return {'unknown_conversation'}
end
redis.call('HSET', members, ARGV[4], 'member')
redis.call('SREM', invited, ARGV[4])
append_entry('member_joined', ARGV[5])
return {'ok', '1'}

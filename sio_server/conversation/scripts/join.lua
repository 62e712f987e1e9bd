-- Become a member of an open conversation, or of one that one was invited to. ARGV: 3 user id, 4 data (JSON)
-- Returns {'ok', '1' if new} or {error code}. A conversation one may not join looks as if it did not exist.
if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end
if redis.call('HEXISTS', members, ARGV[3]) == 1 then return {'ok', '0'} end
if redis.call('HGET', meta, 'access') ~= 'open' and redis.call('SISMEMBER', invited, ARGV[3]) == 0 then
  return {'unknown_conversation'}
end
redis.call('HSET', members, ARGV[3], 'member')
redis.call('SREM', invited, ARGV[3])
append_entry('member_joined', ARGV[4])
return {'ok', '1'}

-- Stop being a member, or decline an invitation. Leaving what one is not in changes nothing and tells nothing.
-- ARGV: 4 user id, 5 data (JSON). Returns {'ok', '1' if one was a member}.
redis.call('SREM', invited, ARGV[4])
if redis.call('HDEL', members, ARGV[4]) == 0 then return {'ok', '0'} end
redis.call('HDEL', reads, ARGV[4])
redis.call('HDEL', drafts, ARGV[4])
for _, field in ipairs(redis.call('ZRANGE', delivered, 0, -1)) do
  if string.match(field, '^%S+') == ARGV[4] then redis.call('ZREM', delivered, field) end
end
-- Nodes put the leaver's sessions out of the room when they meet this entry, in the order of the log.
append_entry('member_left', ARGV[5])
return {'ok', '1'}

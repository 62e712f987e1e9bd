-- Stop being a member, or decline an invitation. Leaving what one is not in changes nothing and tells nothing.
-- ARGV: 3 user id, 4 data (JSON). Returns {'ok', '1' if one was a member}.
redis.call('SREM', invited, ARGV[3])
if redis.call('HDEL', members, ARGV[3]) == 0 then return {'ok', '0'} end
redis.call('HDEL', reads, ARGV[3])
redis.call('HDEL', drafts, ARGV[3])
-- Nodes put the leaver's sessions out of the room when they meet this entry, in the order of the log.
append_entry('member_left', ARGV[4])
return {'ok', '1'}

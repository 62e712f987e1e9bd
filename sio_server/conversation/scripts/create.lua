-- Create a conversation with its owner as first member.
-- ARGV: 3 user id, 4 epoch, 5 title, 6 access, 7 agent, 8 retention, 9 digest of the settings,
--       10 data of the first entry (JSON), 11.. invited user ids
-- Returns {'ok', epoch, '1' if it was new} or {error code}.
local known = redis.call('HMGET', meta, 'owner', 'digest', 'epoch')
if known[1] then
  if known[1] == ARGV[3] and known[2] == ARGV[9] then return {'ok', known[3], '0'} end
  return {'conversation_exists'}
end
redis.call('HSET', meta, 'epoch', ARGV[4], 'seq', 0, 'first', 1, 'fence', 0, 'title', ARGV[5], 'access', ARGV[6],
  'agent', ARGV[7], 'retention', ARGV[8], 'digest', ARGV[9], 'owner', ARGV[3])
redis.call('HSET', members, ARGV[3], 'owner')
for i = 11, #ARGV do redis.call('SADD', invited, ARGV[i]) end
redis.call('HINCRBY', stats, 'conversations', 1)
append_entry('conversation_created', ARGV[10])
return {'ok', ARGV[4], '1'}

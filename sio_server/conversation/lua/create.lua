-- Create a conversation with its owner as first member.
-- ARGV: 4 user id, 5 epoch, 6 retention, 7 digest of the settings, 8 data of the first entry (JSON),
--       9 how many settings follow, then name and value of each, then the invited user ids
-- Returns {'ok', epoch, '1' if it was new} or {error code}.
local known = redis.call('HMGET', meta, 'owner', 'digest', 'epoch')
if known[1] then
  if known[1] == ARGV[4] and known[2] == ARGV[7] then return {'ok', known[3], '0'} end
  return {'conversation_exists'}
end
redis.call('HSET', meta, 'epoch', ARGV[5], 'seq', 0, 'first', 1, 'fence', 0, 'retention', ARGV[6], 'digest', ARGV[7],
  'owner', ARGV[4])
local last = 9 + 2 * tonumber(ARGV[9])
for i = 10, last, 2 do redis.call('HSET', meta, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', members, ARGV[4], 'owner')
for i = last + 1, #ARGV do redis.call('SADD', invited, ARGV[i]) end
redis.call('HINCRBY', stats, 'conversations', 1)
append_entry('conversation_created', ARGV[8])
return {'ok', ARGV[5], '1'}

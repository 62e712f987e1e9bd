-- Reserve bytes of a user's quota for one conversation: at least `wanted` in all, and `ahead` more if there is room.
-- Returns ok: reserved (bytes in all); or quota_exceeded. Again with the same numbers it changes nothing.
-- keys: user
local conversation_id, wanted, ahead, quota = unpack(ARGV)
wanted = tonumber(wanted)
local held = tonumber(redis.call('HGET', reserved, conversation_id) or '0')
if held >= wanted then return {'ok', 'reserved', held} end
local others = tonumber(redis.call('HGET', reserved, '') or '0') - held
if others + wanted > tonumber(quota) then return {'quota_exceeded'} end
local most = math.min(wanted + ahead, quota - others)
redis.call('HSET', reserved, conversation_id, most, '', others + most)
return {'ok', 'reserved', most}

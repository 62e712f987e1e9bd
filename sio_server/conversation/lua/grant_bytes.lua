-- A user may write up to `bytes` in this conversation, which were reserved. Less than before changes nothing.
-- Returns ok or an error code.
-- keys: conversation
-- include: entry
local user_id, bytes = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local granted = tonumber(redis.call('HGET', usage, 'granted ' .. user_id) or '0')
if tonumber(bytes) > granted then redis.call('HSET', usage, 'granted ' .. user_id, bytes) end
return {'ok'}

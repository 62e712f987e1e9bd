-- Make another member the owner in place of `user_id`: the first of them by id. The conversation is known to have something of
-- the user until `forget_user`.
-- Returns ok: owner ('' if there is no other member), was ('1' if the user was the owner); or an error code.
-- keys: conversation
-- include: entry
-- durable
local user_id = unpack(ARGV)
if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end
redis.call('HSET', usage, 'left ' .. user_id, 1) -- by a repetition as well: see `_request.lua`
expire_with_rest()
local others = {}
for _, other in ipairs(redis.call('HKEYS', members)) do
  if other ~= user_id then others[#others + 1] = other end
end
table.sort(others)
if redis.call('HGET', members, user_id) ~= 'owner' then return {'ok', 'owner', others[1] or '', 'was', '0'} end
if others[1] then
  redis.call('HSET', members, user_id, 'member', others[1], 'owner')
  redis.call('HSET', meta, 'owner', others[1])
end
return {'ok', 'owner', others[1] or '', 'was', '1'}

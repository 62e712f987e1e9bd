-- Invite users (`user_ids`, a JSON array); any member may invite.
-- Returns ok: new (ids of the users newly invited); or an error code.
-- keys: conversation
-- include: entry once
local user_id, user_ids = unpack(ARGV)
return once(function()
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  local new = {}
  for _, guest in ipairs(cjson.decode(user_ids)) do
    if redis.call('HEXISTS', members, guest) == 0 and redis.call('SADD', invited, guest) == 1 then
      new[#new + 1] = guest
    end
  end
  return {'ok', 'new', new}
end)

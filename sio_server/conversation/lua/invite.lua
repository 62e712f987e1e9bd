-- Invite users; a member may invite. ARGV: 4 user id, 5.. user ids to invite
-- Returns {'ok', user ids newly invited} or {error code}.
local refusal = stranger(ARGV[4])
if refusal then return refusal end
local new = {}
for i = 5, #ARGV do
  if redis.call('HEXISTS', members, ARGV[i]) == 0 and redis.call('SADD', invited, ARGV[i]) == 1 then
    new[#new + 1] = ARGV[i]
  end
end
return {'ok', new}

-- Invite users; a member may invite. ARGV: 3 user id, 4.. user ids to invite
-- Returns {'ok', user ids newly invited} or {error code}.
local refusal = stranger(ARGV[3])
if refusal then return refusal end
local new = {}
for i = 4, #ARGV do
  if redis.call('HEXISTS', members, ARGV[i]) == 0 and redis.call('SADD', invited, ARGV[i]) == 1 then
    new[#new + 1] = ARGV[i]
  end
end
return {'ok', new}

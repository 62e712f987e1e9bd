-- What was scheduled is not done any more. Returns ok: dropped ('1', or '0': there was none); or an error code.
-- keys: conversation
-- include: entry request
local user_id, schedule_id = unpack(ARGV)
return request(function()
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  redis.call('ZREM', due, conversation_id .. ' ' .. schedule_id)
  return {'ok', 'dropped', redis.call('HDEL', schedules, schedule_id)}
end)

-- Keep a message that is to be appended at a time, or again and again.
--   schedule_id     used unless this request has made one before
--   due_ms, record  when it is due first, and what is to be done (JSON)
--   most            how many the conversation may have
-- Returns ok: schedule_id; or an error code.
-- keys: conversation
-- include: entry request
local user_id, schedule_id, due_ms, record, most = unpack(ARGV)
return request(function()
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  if redis.call('HLEN', schedules) >= tonumber(most) then return {'quota_exceeded'} end
  redis.call('HSET', schedules, schedule_id, due_ms .. ' ' .. record)
  redis.call('ZADD', due, due_ms, conversation_id .. ' ' .. schedule_id)
  expire_with_rest()
  return {'ok', 'schedule_id', schedule_id}
end)

-- Count a user's invitations (to `conversation_id`, of `user_ids`, a JSON array) for as long as they hold, `kept_ms`; at most
-- `quota` at a time. The same invitation again counts once.
-- Returns ok or quota_exceeded.
-- keys: user
-- include: time
local conversation_id, user_ids, kept_ms, quota = unpack(ARGV)
local now_ms = milliseconds()
redis.call('ZREMRANGEBYSCORE', inviting, '-inf', now_ms)
local invited, new = cjson.decode(user_ids), 0
for i, user_id in ipairs(invited) do
  invited[i] = conversation_id .. ' ' .. user_id
  if not redis.call('ZSCORE', inviting, invited[i]) then new = new + 1 end
end
if redis.call('ZCARD', inviting) + new > tonumber(quota) then return {'quota_exceeded'} end
for _, invitation in ipairs(invited) do redis.call('ZADD', inviting, now_ms + kept_ms, invitation) end
redis.call('PEXPIRE', inviting, kept_ms)
return {'ok'}

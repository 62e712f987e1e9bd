-- Take a conversation out of a user's list, and note that it was in it, for `kept_ms` milliseconds.
-- Returns ok.
-- keys: user
-- include: time
local conversation_id, kept_ms = unpack(ARGV)
if redis.call('ZREM', conversations, conversation_id) == 1 then
  local now_ms = milliseconds()
  redis.call('ZADD', unlisted, now_ms, conversation_id)
  redis.call('ZREMRANGEBYSCORE', unlisted, '-inf', now_ms - kept_ms)
  redis.call('ZREMRANGEBYRANK', unlisted, 0, -MAX_UNLISTED - 1)
  redis.call('PEXPIRE', unlisted, kept_ms)
end
return {'ok'}

-- A user is invited to a conversation: put it into the user's list. The list of a user who has had no session since it
-- began expires when the invitation does (`kept_ms`); a session makes it last.
-- Returns ok.
-- keys: user
local conversation_id, kept_ms = unpack(ARGV)
local left_ms = redis.call('PTTL', conversations)  -- -1: it does not expire, -2: there is none
redis.call('ZADD', conversations, 0, conversation_id)
if left_ms ~= -1 and left_ms < tonumber(kept_ms) and redis.call('EXISTS', sessions) == 0 then
  redis.call('PEXPIRE', conversations, kept_ms)
end
return {'ok'}

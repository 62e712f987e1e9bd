-- A member is about to upload a file: what comes to be stored of it is removed after `kept_ms`, unless a message has it.
-- Returns ok; or an error code.
-- keys: conversation
-- include: entry
-- durable
local user_id, file_id, kept_ms = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
redis.call('ZADD', files_due, milliseconds() + kept_ms, conversation_id .. ' ' .. file_id)
return {'ok'}

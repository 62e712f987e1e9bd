-- Conversations are gone (`conversation_ids`, a JSON array): what was reserved for them is free again.
-- Returns ok.
-- keys: user
local conversation_ids = unpack(ARGV)
for _, conversation_id in ipairs(cjson.decode(conversation_ids)) do
  local held = redis.call('HGET', reserved, conversation_id)
  if held then
    redis.call('HDEL', reserved, conversation_id)
    redis.call('HINCRBY', reserved, '', -held)
  end
end
return {'ok'}

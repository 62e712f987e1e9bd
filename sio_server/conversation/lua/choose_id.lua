-- The id of the conversation that a request creates: the first that was proposed for this request, for 24 h.
-- Returns ok: conversation_id.
local conversation_id = unpack(ARGV)
local key = KEYS[1]
redis.call('SET', key, conversation_id, 'NX', 'PX', REQUEST_KEPT_MS)
return {'ok', 'conversation_id', redis.call('GET', key)}

-- A user's unsent text, shown on the user's own devices only. ARGV: 4 user id, 5 device id, 6 text as JSON, 7 user room
-- Returns {'ok', rev} or {error code}. `rev` counts up, so that a device can drop what is older than what it shows.
local refusal = stranger(ARGV[4])
if refusal then return refusal end
-- One counter for all drafts of the conversation: it goes on when a user leaves and comes back.
local rev = redis.call('HINCRBY', meta, 'draft_rev', 1)
local draft = string.format('{"rev":%d,"device_id":%s,"text":%s}', rev, cjson.encode(ARGV[5]), ARGV[6])
redis.call('HSET', drafts, ARGV[4], draft)
publish('draft:updated', ARGV[7], string.format('{"conversation_id":%s,"draft":%s}',
  cjson.encode(conversation_id), draft))
return {'ok', rev}

-- A user's unsent text, shown on the user's own devices only. ARGV: 3 user id, 4 device id, 5 text as JSON, 6 user room
-- Returns {'ok', rev} or {error code}. `rev` counts up, so that a device can drop what is older than what it shows.
local refusal = stranger(ARGV[3])
if refusal then return refusal end
local before = redis.call('HGET', drafts, ARGV[3])
local rev = before and tonumber(string.match(before, '^{"rev":(%d+)')) + 1 or 1
local draft = string.format('{"rev":%d,"device_id":%s,"text":%s}', rev, cjson.encode(ARGV[4]), ARGV[5])
redis.call('HSET', drafts, ARGV[3], draft)
publish('draft:updated', ARGV[6], string.format('{"conversation_id":%s,"draft":%s}',
  cjson.encode(conversation_id), draft))
return {'ok', rev}

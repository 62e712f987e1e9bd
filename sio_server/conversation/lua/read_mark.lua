-- A user has read up to a seq. A mark never goes back nor beyond the log. ARGV: 4 user id, 5 device id, 6 seq
-- Returns {'ok', the mark} or {error code}.
local refusal = stranger(ARGV[4])
if refusal then return refusal end
local head = tonumber(redis.call('HGET', meta, 'seq'))
local before = tonumber(redis.call('HGET', reads, ARGV[4]) or '0')
local mark = math.min(tonumber(ARGV[6]), head)
if mark <= before then return {'ok', before} end
redis.call('HSET', reads, ARGV[4], string.format('%d', mark))
publish('read:updated', conversation_room, string.format('{"conversation_id":%s,"user_id":%s,"device_id":%s,"seq":%d}',
  cjson.encode(conversation_id), cjson.encode(ARGV[4]), cjson.encode(ARGV[5]), mark))
return {'ok', mark}

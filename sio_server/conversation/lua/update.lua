-- Show what a run is doing, and keep it for who joins later. ARGV: 4 fencing token, 5 run id, 6 attempt, 7 number,
-- 8 how many are kept, 9 the rest (JSON without the braces)
-- Returns {'ok'} or {'stale'}. The same number again changes nothing.
if redis.call('HGET', lease, 'token') ~= ARGV[4] then return {'stale'} end
local record = run_prefix .. ARGV[5]
local number = ARGV[6] .. ':' .. ARGV[7]
if redis.call('HGET', record, 'update') == number then return {'ok'} end
redis.call('HSET', record, 'update', number)
local update = string.format('{"conversation_id":%s,"run_id":"%s","attempt":%s,"number":%s,%s}',
  cjson.encode(conversation_id), ARGV[5], ARGV[6], ARGV[7], ARGV[9])
redis.call('RPUSH', record .. ':updates', update)
redis.call('LTRIM', record .. ':updates', -tonumber(ARGV[8]), -1)
publish('run:update', conversation_room, update)
return {'ok'}

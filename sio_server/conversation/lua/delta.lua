-- Add to a run's text so far and show it. ARGV: 4 fencing token, 5 run id, 6 attempt,
-- 7 offset in characters, 8 length in characters, 9 text, 10 text as JSON
-- Returns {'ok'} or {'stale'}. The same delta again changes nothing.
if redis.call('HGET', lease, 'token') ~= ARGV[4] then return {'stale'} end
local record = run_prefix .. ARGV[5]
local offset = tonumber(ARGV[7])
if tonumber(redis.call('HGET', record, 'chars')) ~= offset then return {'ok'} end
redis.call('APPEND', record .. ':text', ARGV[9])
redis.call('HSET', record, 'chars', offset + tonumber(ARGV[8]))
publish('run:delta', conversation_room, string.format(
  '{"conversation_id":%s,"run_id":"%s","attempt":%s,"offset":%d,"text":%s}',
  cjson.encode(conversation_id), ARGV[5], ARGV[6], offset, ARGV[10]))
return {'ok'}

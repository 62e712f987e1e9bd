-- A device has every entry up to a seq. A mark never goes back nor beyond the log.
-- ARGV: 4 user id, 5 device id, 6 seq, 7 how many marks are kept, 8 '1' to tell the room
-- Returns {'ok', the mark} or {error code}.
local refusal = stranger(ARGV[4])
if refusal then return refusal end
local field = ARGV[4] .. ' ' .. ARGV[5]
local before = tonumber(redis.call('ZSCORE', delivered, field) or '0')
local mark = math.min(tonumber(ARGV[6]), tonumber(redis.call('HGET', meta, 'seq')))
if mark <= before then return {'ok', before} end
redis.call('ZADD', delivered, mark, field)
redis.call('ZREMRANGEBYRANK', delivered, 0, -tonumber(ARGV[7]) - 1)
if ARGV[8] == '1' then
  publish('delivery:updated', conversation_room, string.format(
    '{"conversation_id":%s,"user_id":%s,"device_id":%s,"seq":%d}',
    cjson.encode(conversation_id), cjson.encode(ARGV[4]), cjson.encode(ARGV[5]), mark))
end
return {'ok', mark}

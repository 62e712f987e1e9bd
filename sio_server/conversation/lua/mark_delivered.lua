-- A device has every entry up to `seq`. A mark never moves back, nor beyond the log. `tell` is '1' to tell the room.
-- Returns ok: mark; or an error code.
-- keys: conversation
-- include: entry
local user_id, device_id, seq, tell = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local field = user_id .. ' ' .. device_id
local before = tonumber(redis.call('ZSCORE', delivered, field) or '0')
local mark = math.min(tonumber(seq), tonumber(redis.call('HGET', meta, 'seq')))
if mark <= before then return {'ok', 'mark', before} end
redis.call('ZADD', delivered, mark, field)
redis.call('ZREMRANGEBYRANK', delivered, 0, -MAX_DELIVERED - 1)
if tell == '1' then
  publish('delivery:updated', conversation_room, object('conversation_id', conversation_id, 'user_id', user_id,
    'device_id', device_id, 'seq', mark))
end
return {'ok', 'mark', mark}

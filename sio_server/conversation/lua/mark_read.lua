-- A user has read up to `seq`. A mark never moves back, nor beyond the log.
-- Returns ok: mark; or an error code.
-- keys: conversation
-- include: entry
local user_id, device_id, seq = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local before = tonumber(redis.call('HGET', reads, user_id) or '0')
local mark = math.min(tonumber(seq), tonumber(redis.call('HGET', meta, 'seq')))
if mark <= before then return {'ok', 'mark', before} end
redis.call('HSET', reads, user_id, mark)
publish('read:updated', conversation_room, object('conversation_id', conversation_id, 'user_id', user_id,
  'device_id', device_id, 'seq', mark))
return {'ok', 'mark', mark}

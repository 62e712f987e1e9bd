-- Add to a run's text so far, and show it. `offset` and `length` count characters.
-- Returns ok or stale. The same delta again changes nothing.
-- keys: conversation
-- include: entry
local token, run_id, attempt, offset, length, text = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
local record = run_prefix .. run_id
if redis.call('HGET', record, 'chars') ~= offset then return {'ok'} end
redis.call('APPEND', record .. ':text', text)
redis.call('HINCRBY', record, 'chars', length)
publish('run:delta', conversation_room, object('conversation_id', conversation_id, 'run_id', run_id,
  'attempt', tonumber(attempt), 'offset', tonumber(offset), 'text', text))
return {'ok'}

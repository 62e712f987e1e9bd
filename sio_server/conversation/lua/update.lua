-- Show what a run is doing, and keep it for devices that join later. `report` is a JSON object.
-- Returns ok or stale. The same number again changes nothing.
-- keys: conversation
-- include: entry
local token, run_id, attempt, number, report = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
local record = run_prefix .. run_id
local this_one = attempt .. ':' .. number
if redis.call('HGET', record, 'update') == this_one then return {'ok'} end
redis.call('HSET', record, 'update', this_one)
local update = with_fields(report, 'conversation_id', conversation_id, 'run_id', run_id,
  'attempt', tonumber(attempt), 'number', tonumber(number))
redis.call('RPUSH', record .. ':updates', update)
redis.call('LTRIM', record .. ':updates', -UPDATES_KEPT, -1)
publish('run:update', conversation_room, update)
return {'ok'}

-- Show what a run is doing, and keep it for devices that join later. `report` is a JSON object.
-- Returns ok or stale. The same number again changes nothing.
-- keys: conversation
-- include: entry
local token, run_id, attempt, number, report = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
local record = run_prefix .. run_id
local this_one = attempt .. ':' .. number
if redis.call('HGET', record, 'report') == this_one then return {'ok'} end
redis.call('HSET', record, 'report', this_one)
local numbered = with_fields(report, 'number', tonumber(number))
redis.call('RPUSH', record .. ':reports', numbered)
redis.call('LTRIM', record .. ':reports', -MAX_REPORTS, -1)
publish_next('run:reported', 'run_id', run_id, 'version', tonumber(attempt), 'report', raw(numbered))
return {'ok'}

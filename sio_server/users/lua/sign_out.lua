-- End all sessions of a device, on whatever node, and refuse tokens issued until now for it.
-- ARGV: 7 rooms to tell (JSON), 8 the asking session, 9 device id, 10 by whom (JSON), 11 how many sign-outs are kept
-- Returns {'ok', how many sessions it had}, {'session_ended'} or {error code}.
local device_id = ARGV[9]
if redis.call('HEXISTS', devices, device_id) == 0 and redis.call('HEXISTS', signed_out, device_id) == 1 then
  return {'ok', 0}  -- a repetition, or the other of two at once
end
-- Who was signed out a moment ago signs out nobody any more.
if redis.call('HEXISTS', sessions, ARGV[8]) == 0 then return {'session_ended'} end
if redis.call('HEXISTS', devices, device_id) == 0 then return {'unknown_device'} end

local ended = end_sessions(device_id)
redis.call('HDEL', devices, device_id)
redis.call('HSET', signed_out, device_id, string.format('%d ', milliseconds()) .. ARGV[10])

-- Of too many sign-outs the oldest gives its time to '*', which holds for every device: tokens that are older
-- still are refused, rather than taken again.
if redis.call('HLEN', signed_out) > tonumber(ARGV[11]) then
  local oldest, value, least
  local marks = redis.call('HGETALL', signed_out)
  for i = 1, #marks, 2 do
    local since = tonumber(string.match(marks[i + 1], '^%d+'))
    if marks[i] ~= '*' and (not least or since < least) then oldest, value, least = marks[i], marks[i + 1], since end
  end
  redis.call('HDEL', signed_out, oldest)
  local all = tonumber(string.match(redis.call('HGET', signed_out, '*') or '0', '^%d+'))
  if least > all then redis.call('HSET', signed_out, '*', value) end
end

if #ended > 0 then publish('session:ended', ended, '{"reason":"signed_out","by":' .. ARGV[10] .. '}') end
tell_ended(ARGV[7])
return {'ok', #ended}

-- A device is sent notifications from now on, or no more.
--   session_id      the asking session
--   device_id       whose subscription it is
--   endpoint        its address; '' to end it
--   subscription    (JSON)
-- Returns ok, session_ended, or an error code.
-- keys: user
-- include: devices request
local session_id, device_id, endpoint, subscription = unpack(ARGV)
return request(function()
  if redis.call('HEXISTS', sessions, session_id) == 0 then return {'session_ended'} end
  if redis.call('HEXISTS', devices, device_id) == 0 then return {'unknown_device'} end
  if endpoint == '' then
    redis.call('HDEL', push, device_id)
    return {'ok'}
  end
  -- A browser that has forgotten its device id is the same browser.
  local flat = redis.call('HGETALL', push)
  for i = 1, #flat, 2 do
    if string.find(flat[i + 1], '"' .. endpoint .. '"', 1, true) then redis.call('HDEL', push, flat[i]) end
  end
  redis.call('HSET', push, device_id, subscription)
  redis.call('PERSIST', push)
  return {'ok'}
end)

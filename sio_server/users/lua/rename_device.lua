-- A device gets another name, which it keeps whatever it calls itself later. `session_id` is the asking session.
-- Returns ok, session_ended, or an error code.
-- keys: user
-- include: devices request
local session_id, device_id, device_name = unpack(ARGV)
return request(function()
  if redis.call('HEXISTS', sessions, session_id) == 0 then return {'session_ended'} end
  local known = read_device(device_id)
  if not known then return {'unknown_device'} end
  write_device(device_id, known.seen, true, device_name)
  publish_devices(list_devices(all_devices()))
  return {'ok'}
end)

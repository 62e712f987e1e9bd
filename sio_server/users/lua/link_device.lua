-- A device of the user makes a code, with which another one becomes the user's for some seconds.
--   session_id      the asking session
--   device_id       its device: once that is signed out the code counts no longer
--   link_hash       of the code, which itself is kept nowhere
--   link            what the new device gets (JSON)
--   kept_ms         how long the code may be used
-- Returns ok or session_ended.
-- keys: user
-- include: devices request
local session_id, device_id, link_hash, link, kept_ms = unpack(ARGV)
return request(function()
  if redis.call('HEXISTS', sessions, session_id) == 0 then return {'session_ended'} end
  local made = string.format('%.0f - %s ', milliseconds(), device_id)
  redis.call('SET', device_link_prefix .. link_hash, made .. link, 'PX', kept_ms)
  return {'ok'}
end)

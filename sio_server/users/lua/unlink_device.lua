-- The user withdraws a code that `link_device` has made. `session_id` is the asking session.
-- Returns ok: withdrawn (1; 0: it was used, or has expired); or session_ended.
-- keys: user
-- include: devices request
local session_id, link_hash = unpack(ARGV)
return request(function()
  if redis.call('HEXISTS', sessions, session_id) == 0 then return {'session_ended'} end
  local key = device_link_prefix .. link_hash
  local unused = string.match(redis.call('GET', key) or '', '^%d+ %- ') ~= nil
  redis.call('DEL', key)
  return {'ok', 'withdrawn', unused and 1 or 0}
end)

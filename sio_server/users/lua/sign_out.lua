-- End all sessions of a device, on whatever node, and refuse tokens issued until now for it.
--   session_id      the asking session
--   by              who signs it out (JSON)
--   user_kept_ms    see `after_end`
-- Returns ok: ended (how many sessions it had); session_ended; or an error code.
-- keys: user
-- include: devices request
local session_id, device_id, by, user_kept_ms = unpack(ARGV)

-- Of too many sign-outs the oldest gives its time to '*', which holds for every device: tokens that are older still are
-- refused, rather than accepted again.
local function forget_oldest_sign_out()
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

return request(function()
  local asks = redis.call('HEXISTS', sessions, session_id) == 1
  if redis.call('HEXISTS', devices, device_id) == 0 and redis.call('HEXISTS', signed_out, device_id) == 1 then
    -- A repetition, or the other of two at once; or the device has a newer token, and has not connected with it yet.
    if asks then redis.call('HSET', signed_out, device_id, string.format('%.0f ', milliseconds()) .. by) end
    return {'ok', 'ended', 0}
  end
  -- A session that was signed out a moment ago signs out nobody any more.
  if not asks then return {'session_ended'} end
  if redis.call('HEXISTS', devices, device_id) == 0 then return {'unknown_device'} end

  local ended = end_sessions(device_id)
  redis.call('HDEL', devices, device_id)
  redis.call('HDEL', push, device_id)
  redis.call('HSET', signed_out, device_id, string.format('%.0f ', milliseconds()) .. by)
  if redis.call('HLEN', signed_out) > MAX_SIGN_OUTS then forget_oldest_sign_out() end
  publish_ended_sessions(ended, object('reason', 'signed_out', 'by', raw(by)))
  after_end(user_kept_ms)
  return {'ok', 'ended', #ended}
end)

-- The operator refuses all tokens of a user, or of one device, that were issued until now, and ends the sessions.
--   device_id       '*' for all
--   user_kept_ms    see `after_end`
-- Returns ok: ended (how many sessions there were).
-- keys: user
-- include: devices once
-- durable
local device_id, user_kept_ms = unpack(ARGV)
return once(function()
  local ended = end_sessions(device_id)
  -- A device that is signed out is no longer listed; of the user all are kept, with the names that people gave them.
  if device_id ~= '*' then
    redis.call('HDEL', devices, device_id)
    redis.call('HDEL', push, device_id)
  else
    redis.call('DEL', push)
  end
  redis.call('HSET', signed_out, device_id, string.format('%.0f null', milliseconds()))
  publish_ended_sessions(ended, object('reason', 'token_revoked', 'by', null))
  after_end(user_kept_ms)
  return {'ok', 'ended', #ended}
end)

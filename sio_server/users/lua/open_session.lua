-- A session of a user begins.
--   session         (JSON)
--   issued_ms       when its token was issued, '': unknown
--   max_sessions    how many a user may have, 0: any number
-- Returns ok: device_name, ms (Redis' time), first ('1' if it is the user's only session, or '0');
-- token_revoked: by (who signed the device out, JSON); or an error code.
-- The check is in the same step as the writing: a sign-out comes before it and is seen, or after it and sees it.
-- keys: user
-- include: devices
local session_id, session, device_id, device_name, issued_ms, max_sessions = unpack(ARGV)
local issued, most = tonumber(issued_ms), tonumber(max_sessions)
for _, field in ipairs({device_id, '*'}) do
  local since, by = string.match(redis.call('HGET', signed_out, field) or '', '^(%d+) (.*)$')
  if since and not (issued and issued > tonumber(since)) then return {'token_revoked', 'by', by} end
end
local before = redis.call('HLEN', sessions)
if most > 0 and before >= most and redis.call('HEXISTS', sessions, session_id) == 0 then return {'too_many_connections'} end
local known = read_device(device_id)
if known and (known.named or device_name == '') then device_name = known.name end
local ms = milliseconds()
local answer = {'ok', 'device_name', device_name, 'ms', string.format('%.0f', ms)}
write_device(device_id, ms, known and known.named, device_name)
for _, key in ipairs({devices, signed_out, conversations, reserved}) do redis.call('PERSIST', key) end
local known_session = redis.call('HSET', sessions, session_id, device_id .. ' ' .. session) == 0
answer[#answer + 1] = 'first'
answer[#answer + 1] = redis.call('HLEN', sessions) == 1 and '1' or '0'
if known_session then return answer end
local all = all_devices()
for i = #all, MAX_DEVICES + 1, -1 do
  if #all[i].sessions == 0 then redis.call('HDEL', devices, all[i].id) end
end
publish_devices()
return answer

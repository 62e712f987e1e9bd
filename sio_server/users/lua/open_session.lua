-- A session of a user begins, or is written again.
--   session         (JSON)
--   issued_ms       when its token was issued, '': unknown
--   max_sessions    how many a user may have, 0: any number
--   begins          1: it begins; 0: it is written again
-- Returns ok: device_name, ms (Redis' time), seen_in (ids of conversations to tell, of a user who has come online, unless
-- the last session has ended a moment ago: others still know the user as online), and
-- of a session that begins: devices (JSON), last_end (why the device's last session was disconnected, JSON or ''); or
-- token_revoked: by (who signed the device out, JSON); or an error code.
-- The check is in the same step as the writing: a sign-out comes before it and is seen, or after it and sees it.
-- keys: user
-- include: devices
local session_id, session, device_id, device_name, issued_ms, max_sessions, begins = unpack(ARGV)
local issued, most = tonumber(issued_ms), tonumber(max_sessions)
for _, mark in ipairs(redis.call('HMGET', signed_out, device_id, '*')) do
  local since, by = string.match(mark or '', '^(%d+) (.*)$')
  if since and not (issued and issued > tonumber(since)) then return {'token_revoked', 'by', by} end
end
local others = redis.call('HLEN', sessions) - redis.call('HEXISTS', sessions, session_id)
if most > 0 and others >= most then return {'too_many_connections'} end
local known = read_device(device_id)
if known and (known.named or device_name == '') then device_name = known.name end
local ms = milliseconds()
write_device(device_id, ms, known and known.named, device_name)
if others == 0 then
  for _, key in ipairs({devices, push, signed_out, conversations, reserved}) do redis.call('PERSIST', key) end
end
local added = redis.call('HSET', sessions, session_id, device_id .. ' ' .. session) == 1
-- A repetition, whose first reply was lost, is answered as that was.
local came = others == 0 and (added or begins == '1') and redis.call('EXISTS', leaving) == 0
local answer = {'ok', 'device_name', device_name, 'ms', string.format('%.0f', ms), 'seen_in', came and seen_in() or {}}
if not added and begins == '0' then return answer end
local all = all_devices()
for i = #all, MAX_DEVICES + 1, -1 do
  if #all[i].sessions == 0 then
    redis.call('HDEL', devices, all[i].id)
    redis.call('HDEL', push, all[i].id)
  end
end
local listed = list_devices(all)
if added and others > 0 then publish_devices(listed) end
if begins == '1' then
  for _, value in ipairs({'devices', listed, 'last_end', take_last_end(device_id, session_id)}) do
    answer[#answer + 1] = value
  end
end
return answer

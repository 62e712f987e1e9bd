-- A session of a user begins. ARGV: 7 rooms to tell (JSON), 8 session id, 9 session (JSON), 10 device id,
-- 11 device name, 12 when its token was issued (ms; '': unknown), 13 how many sessions a user may have (0: any number)
-- Returns {'ok', the device's name, the time (ms)}, {'token_revoked', who signed it out (JSON)} or {error code}.
-- The check is in the same step as the writing: a sign-out comes before it and is seen, or after it and sees it.
local device_id, issued = ARGV[10], tonumber(ARGV[12])
for _, field in ipairs({device_id, '*'}) do
  local since, by = string.match(redis.call('HGET', signed_out, field) or '', '^(%d+) (.*)$')
  if since and not (issued and issued > tonumber(since)) then return {'token_revoked', by} end
end
local before = redis.call('HLEN', sessions)
local most = tonumber(ARGV[13])
if most > 0 and before >= most and redis.call('HEXISTS', sessions, ARGV[8]) == 0 then return {'too_many_connections'} end
local known = device(device_id)
local name = ARGV[11]
if known and (known.named or name == '') then name = known.name end
local answer = {'ok', name, string.format('%d', milliseconds())}
remember(device_id, known and known.named, name)
redis.call('PERSIST', devices)
if redis.call('HSET', sessions, ARGV[8], device_id .. ' ' .. ARGV[9]) == 0 then return answer end
local all = all_devices()
for i = #all, max_devices + 1, -1 do
  if #all[i].sessions == 0 then redis.call('HDEL', devices, all[i].id) end
end
tell_devices()
if before == 0 then tell_presence(ARGV[7], true) end
return answer

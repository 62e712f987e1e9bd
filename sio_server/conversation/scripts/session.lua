-- A session of a user begins or ends. KEYS: 1 the user's sessions
-- ARGV: 1 user id, 2 bus, 3 user room, 4 rooms to tell (JSON array), 5 session id, 6 session (JSON; '' ends it)
-- The change and its publication are one step, so the last presence that a device hears is the true one.
local before = redis.call('HLEN', KEYS[1])
local changed
if ARGV[6] == '' then
  changed = redis.call('HDEL', KEYS[1], ARGV[5])
else
  changed = redis.call('HSET', KEYS[1], ARGV[5], ARGV[6])
end
if changed == 0 then return {'ok'} end
local sessions = redis.call('HVALS', KEYS[1])
local online = #sessions > 0 and 'true' or 'false'

local function publish(room, more)
  redis.call('PUBLISH', ARGV[2], '{"method":"emit","event":"presence:update","data":[{"user_id":'
    .. cjson.encode(ARGV[1]) .. ',"online":' .. online .. more .. '}],"binary":false,"namespace":"/","room":'
    .. room .. ',"skip_sid":null,"callback":null,"host_id":"log"}')
end

-- The user's own devices are told which devices there are; other people only whether the user is there.
publish(cjson.encode(ARGV[3]), ',"devices":[' .. table.concat(sessions, ',') .. ']')
if ARGV[4] ~= '[]' and (before == 0 or #sessions == 0) then publish(ARGV[4], '') end
return {'ok'}

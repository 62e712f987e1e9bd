-- Put before every script of a user's devices: names for the keys, the list of devices, and who is told of it.
-- ARGV: 1 user id, 2 bus, 3 user room, 4 how many devices are remembered, 5 how many sessions of each are listed,
--       6 how long devices are remembered after the last session (ms)
local sessions, devices, signed_out = unpack(KEYS)
local user_id, user_room = ARGV[1], ARGV[3]
local max_devices, max_sessions = tonumber(ARGV[4]), tonumber(ARGV[5])

-- A device is stored as "<last seen, ms> <1: somebody has named it> <name>".
local function device(device_id)
  local value = redis.call('HGET', devices, device_id)
  if not value then return nil end
  local seen, named, name = string.match(value, '^(%d+) ([01]) (.*)$')
  return {id = device_id, seen = tonumber(seen), named = named == '1', name = name}
end

local function remember(device_id, named, name)
  redis.call('HSET', devices, device_id, string.format('%d %d ', milliseconds(), named and 1 or 0) .. name)
end

-- All devices with their sessions, those online first, then by when they were last seen.
local function all_devices()
  local found, by_id = {}, {}
  for i, device_id in ipairs(redis.call('HKEYS', devices)) do
    found[i] = device(device_id)
    found[i].sessions = {}
    by_id[device_id] = found[i]
  end
  -- A session is stored as "<device id> <JSON>".
  for _, value in ipairs(redis.call('HVALS', sessions)) do
    local device_id, described = string.match(value, '^(%S+) (.*)$')
    if by_id[device_id] then table.insert(by_id[device_id].sessions, described) end
  end
  table.sort(found, function(a, b)
    local a_online, b_online = #a.sessions > 0, #b.sessions > 0
    if a_online ~= b_online then return a_online end
    if a.seen ~= b.seen then return a.seen > b.seen end
    return a.id < b.id
  end)
  return found
end

local function list_devices()
  local listed = {}
  for i, one in ipairs(all_devices()) do
    if i > max_devices then break end
    table.sort(one.sessions, function(a, b) return a > b end)  -- they begin with `since`: the newest first
    local online = #one.sessions > 0
    listed[i] = string.format('{"device_id":%s,"device_name":%s,"online":%s,"sessions":[%s],"last_seen":"%s"}',
      cjson.encode(one.id), cjson.encode(one.name), tostring(online),
      table.concat(one.sessions, ',', 1, math.min(#one.sessions, max_sessions)), online and now() or iso_of(one.seen))
  end
  return '[' .. table.concat(listed, ',') .. ']'
end

-- The change and its publication are one step, so the last list that a device hears is the true one.
local function tell_devices()
  publish('device:updated', user_room, '{"devices":' .. list_devices() .. '}')
end

-- Other people are told only whether the user is there. `rooms`: those of the user's conversations (JSON).
local function tell_presence(rooms, online)
  if rooms == '[]' then return end
  publish('presence:update', cjson.decode(rooms),
    string.format('{"user_id":%s,"online":%s}', cjson.encode(user_id), tostring(online)))
end

-- After sessions have ended: was it the last one?
local function tell_ended(rooms)
  local online = redis.call('EXISTS', sessions) == 1
  if not online then redis.call('PEXPIRE', devices, ARGV[6]) end
  tell_devices()
  if not online then tell_presence(rooms, false) end
end

-- Remove the sessions of a device, or of all ('*'), and return their ids.
local function end_sessions(device_id)
  local ended = {}
  local flat = redis.call('HGETALL', sessions)
  for i = 1, #flat, 2 do
    if device_id == '*' or string.match(flat[i + 1], '^%S+') == device_id then
      ended[#ended + 1] = flat[i]
      redis.call('HDEL', sessions, flat[i])
    end
  end
  return ended
end

-- What the scripts of a user's devices share: how devices and sessions are stored, the list of devices, and who is told.
-- include: time bus json
local user_id = string.match(sessions, '^{rg:u:(.*)}:sessions$')
local user_channel = string.sub(sessions, 1, -9) .. 'bus'

-- For `_request.lua`: a step on a user makes no entry.
local made, sent = {}, nil

-- A device is stored as "<last seen, ms> <1: a user has named it> <name>".
local function read_device(device_id)
  local value = redis.call('HGET', devices, device_id)
  if not value then return nil end
  local seen, named, name = string.match(value, '^(%d+) ([01]) (.*)$')
  return {id = device_id, seen = tonumber(seen), named = named == '1', name = name}
end

local function write_device(device_id, seen, named, name)
  redis.call('HSET', devices, device_id, string.format('%.0f %d ', seen, named and 1 or 0) .. name)
end

-- All devices with their sessions, those online first, then by when they were last seen.
local function all_devices()
  local found, by_id = {}, {}
  for i, device_id in ipairs(redis.call('HKEYS', devices)) do
    found[i] = read_device(device_id)
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

-- The list of devices as JSON text.
local function list_devices()
  local listed = {}
  for i, one in ipairs(all_devices()) do
    if i > MAX_DEVICES then break end
    table.sort(one.sessions, function(a, b) return a > b end)  -- they begin with `since`: the newest first
    local online = #one.sessions > 0
    local newest = table.concat(one.sessions, ',', 1, math.min(#one.sessions, MAX_DEVICE_SESSIONS))
    listed[i] = object('device_id', one.id, 'device_name', one.name, 'online', online, 'sessions', raw('[' .. newest .. ']'),
      'last_seen', online and now() or iso_of(one.seen))
  end
  return '[' .. table.concat(listed, ',') .. ']'
end

-- The change and its publication are one step, so the last list that a device receives is the true one.
local function publish_devices()
  publish(user_channel, 'D', 'devices:changed', object('devices', raw(list_devices())))
end

-- Sessions have ended: nodes look them up, end them, and tell them this payload of `session:ended` (JSON).
local function publish_ended_sessions(ids, payload)
  if #ids > 0 then publish_message(user_channel, 'S ' .. table.concat(ids, ' ') .. '\n' .. payload) end
end

-- Whether the user is online: '1' or '0'. Others are told by the caller, on the channels of the user's conversations.
local function presence()
  return tostring(redis.call('EXISTS', sessions))
end

-- After sessions have ended: was it the last one? What else the user has then expires in `user_kept_ms` (0: never).
local function publish_ended(user_kept_ms)
  local online = redis.call('EXISTS', sessions) == 1
  if not online then
    redis.call('PEXPIRE', devices, DEVICES_KEPT_MS)
    if user_kept_ms ~= '0' then
      for _, key in ipairs({signed_out, conversations, reserved}) do redis.call('PEXPIRE', key, user_kept_ms) end
    end
  end
  publish_devices()
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

-- What the scripts of a user's devices share: how devices and sessions are stored, the list of devices, and who is told.
-- include: time bus json
local user_channel = string.sub(sessions, 1, -9) .. 'bus'

-- For `_request.lua`: a step on a user makes no entry.
local made, sent = {}, nil

-- A device is stored as "<last seen, ms> <1: a user has named it> <name>".
local function parse_device(device_id, value)
  local seen, named, name = string.match(value, '^(%d+) ([01]) (.*)$')
  return {id = device_id, seen = tonumber(seen), named = named == '1', name = name}
end

local function read_device(device_id)
  local value = redis.call('HGET', devices, device_id)
  return value and parse_device(device_id, value) or nil
end

local function write_device(device_id, seen, named, name)
  redis.call('HSET', devices, device_id, string.format('%.0f %d ', seen, named and 1 or 0) .. name)
end

-- All devices with their sessions, those online first, then by when they were last seen.
local function all_devices()
  local found, by_id = {}, {}
  local flat = redis.call('HGETALL', devices)
  for i = 1, #flat, 2 do
    local one = parse_device(flat[i], flat[i + 1])
    one.sessions = {}
    found[#found + 1], by_id[one.id] = one, one
  end
  -- A session is stored as "<device id> <JSON>".
  for _, value in ipairs(redis.call('HVALS', sessions)) do
    local device_id, described = string.match(value, '^(%S+) (.*)$')
    if by_id[device_id] then table.insert(by_id[device_id].sessions, described) end
  end
  if #found > 1 then
    table.sort(found, function(a, b)
      local a_online, b_online = #a.sessions > 0, #b.sessions > 0
      if a_online ~= b_online then return a_online end
      if a.seen ~= b.seen then return a.seen > b.seen end
      return a.id < b.id
    end)
  end
  return found
end

-- The list of `all_devices()` as JSON text.
local function list_devices(all)
  local listed = {}
  for i, one in ipairs(all) do
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
local function publish_devices(listed)
  publish(user_channel, 'D', 'devices:changed', object('devices', raw(listed)))
end

-- Sessions have ended: nodes look them up, end them, and tell them this payload of `session:ended` (JSON).
local function publish_ended_sessions(ids, payload)
  if #ids > 0 then publish_message(user_channel, 'S ' .. table.concat(ids, ' ') .. '\n' .. payload) end
end

-- Ids of the user's conversations, at most PRESENCE_ROOMS: where others see whether the user is online. It may name
-- one of which the user is no member.
local function seen_in()
  return redis.call('ZRANGE', conversations, 0, PRESENCE_ROOMS - 1)
end

-- After sessions have ended: was it the last one? What else the user has then expires in `user_kept_ms` (0: never).
-- Otherwise the user's other sessions are told. Returns whether the user is online.
local function after_end(user_kept_ms)
  if redis.call('EXISTS', sessions) == 1 then
    publish_devices(list_devices(all_devices()))
    return true
  end
  redis.call('PEXPIRE', devices, DEVICES_KEPT_MS)
  redis.call('PEXPIRE', push, DEVICES_KEPT_MS)
  if user_kept_ms ~= '0' then
    for _, key in ipairs({signed_out, conversations, reserved}) do redis.call('PEXPIRE', key, user_kept_ms) end
  end
  return false
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

-- Why the device's last session was disconnected (JSON), to be told to this session and no other; '' if that is not
-- known. It is kept for some seconds more, in case that the reply is lost and the call repeated.
local function take_last_end(device_id, session_id)
  local key = last_end_prefix .. device_id
  local value = redis.call('GET', key)
  if not value then return '' end
  if string.sub(value, 1, 1) == '{' then
    redis.call('SET', key, session_id .. ' ' .. value, 'PX', CALL_KEPT_MS)
    return value
  end
  local told, last_end = string.match(value, '^(%S+) (.*)$')
  return told == session_id and last_end or ''
end

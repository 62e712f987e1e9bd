-- Put before every script: names for the keys of one partition, and what the scripts share.
--   items     hash: member -> "<created, µs> <lifetime, µs, or nothing> <value, JSON>"
--   order     sorted set, all scores 0, so in the order of the members' bytes
--   updated   sorted set: member -> when it was written last, µs
--   expiries  sorted set: member -> when it expires, µs
-- A member is the labels of an item's namespace, each with a NUL after it, one more NUL, and the item's key.
local items, order, updated, expiries = unpack(KEYS)

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function digits(number)
  return string.format('%.0f', number)
end

local function forget(member)
  redis.call('HDEL', items, member)
  for _, set in ipairs({order, updated, expiries}) do redis.call('ZREM', set, member) end
end

-- What is stored of a member: created, lifetime, value; nothing when it has expired.
local function read(member)
  local at = redis.call('ZSCORE', expiries, member)
  if at and tonumber(at) <= now then
    forget(member)
    return nil
  end
  local held = redis.call('HGET', items, member)
  if held then return string.match(held, '^(%d+) (%d*) (.*)$') end
end

local function refresh(member, lifetime)
  if lifetime ~= '' then redis.call('ZADD', expiries, 'XX', digits(now + lifetime), member) end
end

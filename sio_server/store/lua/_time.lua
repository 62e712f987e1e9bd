-- The time by Redis' clock, as scripts store and publish it: the clocks of nodes may differ.

-- ISO 8601 UTC. The calendar is civil_from_days by Howard Hinnant
-- (http://howardhinnant.github.io/date_algorithms.html).
local function iso(seconds, milliseconds)
  local floor, rest = math.floor, seconds % 86400
  local z = (seconds - rest) / 86400 + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', yoe + era * 400 + (month <= 2 and 1 or 0), month,
    doy - floor((153 * mp + 2) / 5) + 1, rest / 3600, rest % 3600 / 60, rest % 60, milliseconds)
end

local function milliseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function iso_of(ms)
  return iso(math.floor(ms / 1000), ms % 1000)
end

local function now()
  return iso_of(milliseconds())
end


-- Something was spent under a limit of one user or address (`account`). `rates` is a JSON array with, for each rate of the
-- limit, how long what was spent takes to be earned again, and at most how far ahead that may reach (microseconds).
-- Returns ok: ahead (for each rate how far ahead it reaches now, in microseconds, by Redis' clock).
local account = unpack(KEYS)
local rates = unpack(ARGV)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local known, ahead, kept, longest = {}, {}, {}, 0
for reach in string.gmatch(redis.call('GET', account) or '', '%d+') do known[#known + 1] = tonumber(reach) end
for i, rate in ipairs(cjson.decode(rates)) do
  local cost, furthest = rate[1], rate[2]
  local reach = math.min(math.max(known[i] or 0, now) + cost, now + furthest)
  kept[i], ahead[i] = string.format('%.0f', reach), reach - now
  longest = math.max(longest, reach - now)
end
redis.call('SET', account, table.concat(kept, ' '), 'PX', math.ceil(longest / 1000) + 1)
return {'ok', 'ahead', ahead}

-- Something was spent under a limit. KEYS: 1 the limit of one user or address. ARGV: for each of its rates how long
-- what was spent takes to be earned again, and at most how far ahead that may reach (both in microseconds)
-- Returns for each rate how far ahead it reaches now (microseconds), by Redis' clock.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local known, ahead, kept, longest = {}, {}, {}, 0
for reach in string.gmatch(redis.call('GET', KEYS[1]) or '', '%d+') do known[#known + 1] = tonumber(reach) end
for i = 1, #ARGV, 2 do
  local rate = (i + 1) / 2
  local reach = math.max(known[rate] or 0, now) + tonumber(ARGV[i])
  reach = math.min(reach, now + tonumber(ARGV[i + 1]))
  kept[rate], ahead[rate] = string.format('%.0f', reach), reach - now
  longest = math.max(longest, reach - now)
end
redis.call('SET', KEYS[1], table.concat(kept, ' '), 'PX', math.ceil(longest / 1000) + 1)
return ahead

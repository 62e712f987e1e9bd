-- Drop what no endpoint is to be told any more, and the oldest when it is too much.
--   disabled    endpoints that are told nothing (JSON array): nothing is kept for them
--   max_bytes   of what is kept, about
--   kept_ms     an endpoint whose lease no node has taken for so long is forgotten
-- Returns ok: waiting (entries that some endpoint is to be told).
-- include: time hook_positions
local disabled, max_bytes, kept_ms = unpack(ARGV)
local stream, state = unpack(KEYS)
local fields, now_ms = redis.call('HGETALL', state), milliseconds()
for i = 1, #fields, 2 do
  local name = string.match(fields[i], '^(.*) until$')
  if name and tonumber(fields[i + 1]) + kept_ms < now_ms then
    for _, field in ipairs({'position', 'owner', 'until', 'failures', 'since', 'next', 'told', 'problem', 'dropped'}) do
      redis.call('HDEL', state, name .. ' ' .. field)
    end
  end
end
local told = drop_told(stream, state, disabled)
local length = redis.call('XLEN', stream)
while length > 1 and (redis.call('MEMORY', 'USAGE', stream) or 0) > tonumber(max_bytes) do
  length = math.floor(length / 2)
  redis.call('XTRIM', stream, 'MAXLEN', length)
end
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
if first and (first[1] == told or #first[2] < 6) then length = length - 1 end
return {'ok', 'waiting', length}

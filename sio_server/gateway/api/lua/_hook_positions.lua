-- How far each endpoint has been told what is kept in a partition: the fields "<endpoint> position" of the state.

local function is_before(one, other)
  local ms, number = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_number = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) < tonumber(other_ms) end
  return tonumber(number) < tonumber(other_number)
end

-- Drop what every endpoint has been told that is not in `disabled` (JSON array), whichever nodes know it: during a rolling
-- start one that this node does not know of has a position as well. The last entry that all were told stays, so a position
-- before the first entry that is kept shows that something was dropped untold.
-- Returns that entry's id, or nil when nobody is told anything.
local function drop_told(stream, state, disabled)
  local untold, first = {}, nil
  for _, name in ipairs(cjson.decode(disabled)) do untold[name] = true end
  local fields = redis.call('HGETALL', state)
  for i = 1, #fields, 2 do
    local name = string.match(fields[i], '^(.*) position$')
    if name and not untold[name] and (not first or is_before(fields[i + 1], first)) then first = fields[i + 1] end
  end
  if first then redis.call('XTRIM', stream, 'MINID', first) end
  return first
end

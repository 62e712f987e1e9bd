-- Where in the log a time is. Entries are in the order of their times, but for a clock of Redis that was set back.
-- include: entry

local function time_of(seq)
  return string.match(read_entry(string.format('%.0f', seq)) or '', '"ts":"([^"]*)"') or ''
end

-- The seq of the first entry from `first` to `head` that is not older than `ts` (ISO 8601); one above `head` if none is.
local function first_at(ts, first, head)
  local low, high = tonumber(first), tonumber(head) + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if time_of(middle) < ts then low = middle + 1 else high = middle end
  end
  return low
end

-- Which items there are. ARGV: 1 and 2 the range of members, 3 how many at most
-- Returns {member, updated, member, updated, ...} in the order of the members; updated is '' of what has expired.
local members = redis.call('ZRANGEBYLEX', order, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local found = {}
for _, member in ipairs(members) do
  local at = redis.call('ZSCORE', expiries, member)
  found[#found + 1] = member
  found[#found + 1] = at and tonumber(at) <= now and '' or redis.call('ZSCORE', updated, member)
end
return found

-- Which namespaces have items. ARGV: 1 and 2 the range of members, 3 how many at most
-- Returns the first member of each; what lies between them is not looked at.
local from, found = ARGV[1], {}
while #found < tonumber(ARGV[3]) do
  local member = redis.call('ZRANGEBYLEX', order, from, ARGV[2], 'LIMIT', 0, 1)[1]
  if not member then break end
  from = '(' .. member
  if read(member) then
    found[#found + 1] = member
    -- Beyond all keys of this namespace; no member has byte 255.
    from = '(' .. string.sub(member, 1, string.find(member, '\0\0', 1, true) + 1) .. '\255'
  end
end
return found

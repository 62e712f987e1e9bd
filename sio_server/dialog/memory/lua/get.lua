-- Read items. ARGV: 1 '1' to let their lifetimes begin again, or '', 2 after how many bytes to stop, 3.. members
-- Returns of each that was read {created, updated, lifetime, value}, or {} for one that is not there.
local found, left = {}, tonumber(ARGV[2])
for i = 3, #ARGV do
  local created, lifetime, value = read(ARGV[i])
  if not created then
    found[#found + 1] = {}
  else
    if ARGV[1] == '1' then refresh(ARGV[i], lifetime) end
    found[#found + 1] = {created, redis.call('ZSCORE', updated, ARGV[i]), lifetime, value}
    left = left - #value
    if left <= 0 then break end
  end
end
return found

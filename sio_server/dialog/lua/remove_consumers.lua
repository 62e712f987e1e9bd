-- Remove consumers of a run queue with nothing pending: the one that is named, or ('') all that have asked for no
-- messages for `idle_ms`. In one step, since removing a consumer drops what is pending for it.
local stream = KEYS[1]
local group, name, idle_ms = unpack(ARGV)
for _, listed in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local consumer = {}
  for i = 1, #listed, 2 do consumer[listed[i]] = listed[i + 1] end
  local meant = consumer.name == name or (name == '' and consumer.idle >= tonumber(idle_ms))
  if meant and consumer.pending == 0 then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer.name)
  end
end

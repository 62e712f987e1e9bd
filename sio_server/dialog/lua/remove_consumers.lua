-- Remove consumers of a run queue with nothing pending. KEYS: 1 the stream; ARGV: 1 consumer group, 2 a consumer, or ''
-- for all that have not asked for messages for 3 (ms)
-- Returns how many were removed. In one step, since removing a consumer drops what is pending for it.
local removed = 0
for _, listed in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #listed, 2 do consumer[listed[i]] = listed[i + 1] end
  local meant = consumer.name == ARGV[2] or (ARGV[2] == '' and consumer.idle >= tonumber(ARGV[3]))
  if meant and consumer.pending == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed = removed + 1
  end
end
return {removed}

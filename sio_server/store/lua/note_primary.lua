-- Note in a partition of a Redis Cluster which primary has it: `replid` (of its replication), its id and its own
-- configuration epoch. `present`: the replids of all primaries that there are, a space between two. Returns ok.
--
-- Where another one was noted that is none of these, what it has shown may be lost: this is a promotion more, and a step
-- on a conversation that was changed before it begins a new epoch (`_entry.lua`). One that is there still has given the
-- slot away, and lost nothing; one that was started again has another replid, and what was its own.
local replid, server_id, epoch, present = unpack(ARGV)
local stats = KEYS[1]
local noted = replid .. ' ' .. server_id .. ' ' .. epoch
local known = redis.call('HGET', stats, 'noted')
if known == noted then return {'ok'} end
if known then
  local of, by, at = string.match(known, '^(%S+) (%S+) (%S+)$')
  local is_there = string.find(' ' .. present .. ' ', ' ' .. of .. ' ', 1, true)
  local was_restarted = by == server_id and at == epoch
  if not is_there and not was_restarted then redis.call('HINCRBY', stats, 'primary', 1) end
end
redis.call('HSET', stats, 'noted', noted)
return {'ok'}

-- Does the log still hold what has been delivered? Otherwise it gets a new epoch.
--   epoch, seq, ts  the last entry that was delivered; ts is '' when a device says so, whose word counts once for each
--                   start of Redis
--   new_epoch       to use if it has been lost
--   redis_id        this start of Redis, or '' if unknown
-- Returns ok: epoch; or an error code.
-- keys: conversation
-- include: entry
local epoch, seq, ts, new_epoch, redis_id = unpack(ARGV)
local known = redis.call('HMGET', meta, 'epoch', 'seq', 'first', 'cut_in')
local unchanged = {'ok', 'epoch', known[1]}
if not known[1] then return {'unknown_conversation'} end
if epoch ~= known[1] or tonumber(seq) < tonumber(known[3]) then return unchanged end
if tonumber(seq) <= tonumber(known[2]) then
  if ts == '' then return unchanged end
  local envelope = read_entry(seq)
  if envelope and string.find(envelope, '"ts":"' .. ts .. '"', 1, true) then return unchanged end
elseif ts == '' then
  if redis_id == '' or known[4] == redis_id then return unchanged end
  redis.call('HSET', meta, 'cut_in', redis_id)
end
begin_epoch(new_epoch)
return {'ok', 'epoch', new_epoch}

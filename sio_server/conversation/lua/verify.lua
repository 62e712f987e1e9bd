-- Does the log still hold what has been handed out? Otherwise it begins a new life.
-- ARGV: 4 epoch and 5 seq of the last entry that was handed out, 6 its ts, or '' when a device says so, whose word
-- counts once for each Redis, 7 epoch of the new life, 8 the Redis that answers, or '' if unknown
-- Returns {'ok', epoch} or {error code}.
local known = redis.call('HMGET', meta, 'epoch', 'seq', 'first', 'cut_in')
if not known[1] then return {'unknown_conversation'} end
local epoch, seq, ts = ARGV[4], tonumber(ARGV[5]), ARGV[6]
if epoch ~= known[1] or seq < tonumber(known[3]) then return {'ok', known[1]} end
if seq <= tonumber(known[2]) then
  if ts == '' then return {'ok', known[1]} end
  local entry = redis.call('XRANGE', log, seq .. '-0', seq .. '-0')[1]
  if entry and string.find(entry[2][2], '"ts":"' .. ts .. '"', 1, true) then return {'ok', known[1]} end
elseif ts == '' then
  if ARGV[8] == '' or known[4] == ARGV[8] then return {'ok', known[1]} end
  redis.call('HSET', meta, 'cut_in', ARGV[8])
end
begin_life(ARGV[7])
return {'ok', ARGV[7]}

-- One page of the log, for members only; the check and the read are one step.
--   user_id         '' for the node itself
--   direction       'after' or 'before' `seq`
--   up_to           nothing above it is returned, nor told of, or '': above `seq` only
--   limit, max_bytes  entries, and bytes of them; at least one entry is returned
-- Returns ok: epoch, first, head, entries ({seq, envelope, hidden_by, ...} in ascending order; hidden_by is the seq of the
-- entry since which it is current no longer, or ''); or an error code.
-- keys: conversation
-- include: entry
local user_id, direction, seq, up_to, limit, max_bytes = unpack(ARGV)
local known = redis.call('HMGET', meta, 'epoch', 'first', 'seq')
if not known[1] then return {'unknown_conversation'} end
local refusal = user_id ~= '' and refuse_non_member(user_id)
if refusal then return refusal end
local found
if direction == 'after' then
  found = redis.call('XRANGE', log, entry_id(seq + 1), up_to == '' and '+' or entry_id(up_to), 'COUNT', limit)
elseif tonumber(seq) > 1 then
  found = redis.call('XREVRANGE', log, entry_id(seq - 1), '-', 'COUNT', limit)
else
  found = {}
end
local taken, bytes = 0, 0
for i, item in ipairs(found) do
  bytes = bytes + #item[2][2]
  if bytes > tonumber(max_bytes) and i > 1 then break end
  taken = i
end
local seqs, entries = {}, {}
for i = 1, taken do seqs[i] = string.match(found[direction == 'after' and i or taken + 1 - i][1], '^%d+') end
local hidden_by = taken > 0 and redis.call('HMGET', hidden, unpack(seqs)) or {}
for i = 1, taken do
  local by = hidden_by[i]
  entries[#entries + 1] = seqs[i]
  entries[#entries + 1] = found[direction == 'after' and i or taken + 1 - i][2][2]
  entries[#entries + 1] = by and (up_to == '' or tonumber(by) <= tonumber(up_to)) and by or ''
end
return {'ok', 'epoch', known[1], 'first', known[2], 'head', known[3], 'entries', entries}

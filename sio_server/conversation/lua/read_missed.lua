-- What a member's device has missed, and what the member may know of the conversation, at one moment.
--   epoch, seq      the device's position, or ''; what follows it is read where it is valid (see `protocol/position.py`)
--   snapshot        how many of the last entries are read where it is not
--   limit, max_bytes  entries, and bytes of them; at least one entry is returned, unless `limit` is 0
--   with_marks      whether the members' marks are wanted
-- Returns ok: what `_view.lua` says; role, draft (JSON or ''), after (the entries read are above it), from (seq of the first
-- of them), entries (JSON, ...) and their bytes; or an error code.
-- keys: conversation
-- include: view page
local user_id, epoch, seq, snapshot, limit, max_bytes, with_marks = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local reply = view_reply(with_marks == '1')
if reply[1] ~= 'ok' then return reply end
local known = reply[3]
local first, head = tonumber(known[2]), tonumber(known[3])
local after = math.max(first - 1, head - snapshot)
if epoch == known[1] and tonumber(seq) <= head and seq + 1 >= first then after = tonumber(seq) end
local from, entries, bytes = after + 1, {}, 0
if limit ~= '0' and after < head then
  from, entries, bytes = read_page(known[1], 'after', after, known[3], limit, max_bytes)
end
return add(reply, 'role', redis.call('HGET', members, user_id), 'draft', redis.call('HGET', drafts, user_id) or '',
  'after', after, 'from', from, 'entries', entries, 'bytes', bytes)

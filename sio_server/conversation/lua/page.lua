-- One page of the log, for members only; the check and the read are one step.
--   user_id         '' for the node itself
--   direction       'after' or 'before' `seq`
--   up_to           nothing above it is returned, nor told of, or '': above `seq` only
--   limit, max_bytes  entries, and bytes of them; at least one entry is returned
-- Returns ok: epoch, first, head, from (seq of the first entry), entries (JSON, ...) and their bytes, archived_from (seq of the
-- oldest entry in the archive, or ''); for the node itself
-- ts (of the last entry) and departures (seq, user id, ... of the entries that say that a member has left); or an error code.
-- keys: conversation
-- include: page
local user_id, direction, seq, up_to, limit, max_bytes = unpack(ARGV)
local known = redis.call('HMGET', meta, 'epoch', 'first', 'seq', 'archived_from')
if not known[1] then return {'unknown_conversation'} end
local refusal = user_id ~= '' and refuse_non_member(user_id)
if refusal then return refusal end
local from, entries, bytes = read_page(known[1], direction, seq, up_to, limit, max_bytes)
local reply = {'ok', 'epoch', known[1], 'first', known[2], 'head', known[3], 'from', from, 'entries', entries,
  'bytes', bytes, 'archived_from', known[4] or ''}
if user_id == '' then
  local ts, departures = '', {}
  for i, entry in ipairs(entries) do
    local about, entry_type
    -- Nothing before these members is text of a user.
    about, entry_type, ts = string.match(entry, '^(.-),"type":"([^"]*)","ts":"([^"]*)"')
    if entry_type == 'member_left' then
      departures[#departures + 1] = from + i - 1
      departures[#departures + 1] = cjson.decode(entry).data.user_id
    end
  end
  for _, value in ipairs({'ts', ts, 'departures', departures}) do reply[#reply + 1] = value end
end
return reply

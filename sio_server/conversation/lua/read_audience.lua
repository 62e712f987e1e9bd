-- Who may be notified of an entry: the members, and the author of the entry to which it replies.
--   reply_to        seq of that entry, or ''
--   max_members     of more the owner alone is told
-- Returns ok: title, approvals, members (user id, role, ...; none when there are too many), owner, replied (the envelope of
-- that entry, or '').
-- keys: conversation
-- include: entry
local reply_to, max_members = unpack(ARGV)
local known = redis.call('HMGET', meta, 'title', 'approvals', 'owner')
local few = redis.call('HLEN', members) <= tonumber(max_members)
return {'ok', 'title', known[1] or '', 'approvals', known[2] or '', 'members', few and redis.call('HGETALL', members) or {},
  'owner', known[3] or '', 'replied', reply_to ~= '' and read_entry(reply_to) or ''}

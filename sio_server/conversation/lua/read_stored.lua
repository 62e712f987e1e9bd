-- The entries from one seq to another as they are stored, for the node itself.
-- Returns ok: epoch, first, head, entries (JSON, ...), digests (of each, SHA-1); or an error code.
-- keys: conversation
-- include: entry
local from, to = unpack(ARGV)
local known = redis.call('HMGET', meta, 'epoch', 'first', 'seq')
if not known[1] then return {'unknown_conversation'} end
local texts, digests = {}, {}
for i, entry in ipairs(stored_entries(math.max(tonumber(from), tonumber(known[2])), math.min(tonumber(to), tonumber(known[3])))) do
  texts[i], digests[i] = entry.text, redis.sha1hex(entry.text)
end
return {'ok', 'epoch', known[1], 'first', known[2], 'head', known[3], 'entries', texts, 'digests', digests}

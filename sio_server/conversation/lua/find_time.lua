-- Where in the log a time (`ts`, ISO 8601) is, for members only.
-- Returns ok: seq (of the first entry of the log that is not older; one above the last if all are), first, archived_from (seq
-- of the oldest entry in the archive, or ''); or an error code.
-- keys: conversation
-- include: at_time
local user_id, ts = unpack(ARGV)
local known = redis.call('HMGET', meta, 'first', 'seq', 'archived_from')
if not known[1] then return {'unknown_conversation'} end
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
return {'ok', 'seq', string.format('%.0f', first_at(ts, known[1], known[2])), 'first', known[1],
  'archived_from', known[3] or ''}

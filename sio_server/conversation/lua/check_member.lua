-- Whether a user is a member now, and where the conversation stands at this moment.
-- Returns ok: epoch, first, head, ts (of the last entry), n (of the last event of the stream); or an error code.
-- keys: conversation
-- include: entry
local user_id = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local known = redis.call('HMGET', meta, 'epoch', 'first', 'seq', 'ts', 'n')
if not known[1] then return {'unknown_conversation'} end
return {'ok', 'epoch', known[1], 'first', known[2], 'head', known[3], 'ts', known[4], 'n', known[5]}

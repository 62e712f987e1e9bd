-- One page of the whole data of a long entry, for members only.
-- Returns ok: epoch, pages, text; or an error code.
-- keys: conversation
-- include: entry
local user_id, seq, page = unpack(ARGV)
local epoch = redis.call('HGET', meta, 'epoch')
if not epoch then return {'unknown_conversation'} end
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local found = redis.call('HMGET', long, seq, seq .. ' ' .. page)
if not found[2] then return {'not_found'} end
return {'ok', 'epoch', epoch, 'pages', found[1], 'text', found[2]}

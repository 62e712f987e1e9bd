-- What is known of a file, for members; of one that no message has, for its owner only.
-- Returns ok: about (what messages say of it, JSON); or an error code.
-- keys: conversation
-- include: entry
local user_id, file_id = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local seq, owner, about = string.match(redis.call('HGET', files, file_id) or '', '^(%d+) (%S+) (.*)$')
if not seq or (seq == '0' and owner ~= user_id) then return {'not_found'} end
return {'ok', 'about', about}

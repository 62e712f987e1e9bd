-- A member has uploaded a file, which a message of theirs may take now. `about`: what messages say of it (JSON).
-- Returns ok: kept ('1', or '0': it took so long that it was removed); or an error code.
-- keys: conversation
-- include: entry
-- durable
local user_id, file_id, about = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
if redis.call('HEXISTS', files, file_id) == 0 and not redis.call('ZSCORE', files_due, conversation_id .. ' ' .. file_id) then
  return {'ok', 'kept', '0'}
end
redis.call('HSETNX', files, file_id, '0 ' .. user_id .. ' ' .. about)
expire_with_rest()
return {'ok', 'kept', '1'}

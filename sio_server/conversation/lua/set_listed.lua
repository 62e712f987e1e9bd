-- A user pins a conversation in the list of conversations, or puts it into the archive of the list.
--   pinned, in_archive   '1', '0', or '': as it is
-- Returns ok: pinned, archived (as they are now, '1' or '0'); or an error code.
-- keys: conversation
-- include: entry request
local user_id, pinned, in_archive = unpack(ARGV)
return request(function()
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  local before = redis.call('HGET', listed, user_id) or ''
  if pinned == '' then pinned = string.find(before, 'p', 1, true) and '1' or '0' end
  if in_archive == '' then in_archive = string.find(before, 'a', 1, true) and '1' or '0' end
  local flags = (pinned == '1' and 'p' or '') .. (in_archive == '1' and 'a' or '')
  if flags ~= before then
    if flags == '' then redis.call('HDEL', listed, user_id) else redis.call('HSET', listed, user_id, flags) end
    redis.call('HSET', touched, user_id, now())
  end
  return {'ok', 'pinned', pinned, 'archived', in_archive}
end)

-- Become a member of an open conversation, or of one to which the user is invited. `data` of the entry is JSON.
-- `admitted`: '1' when a service makes the user a member, who then needs no invitation.
-- Returns ok: new ('1' or '0'), title; or an error code. A conversation that the user may not join looks as if it did not exist.
-- keys: conversation
-- include: entry request
local user_id, session_id, data, admitted = unpack(ARGV)
acting_session = session_id
return request(function()
  local known = redis.call('HMGET', meta, 'access', 'title')
  if not known[1] then return {'unknown_conversation'} end
  if redis.call('HEXISTS', members, user_id) == 1 then return {'ok', 'new', '0', 'title', known[2]} end
  if known[1] ~= 'open' and admitted ~= '1' and not invited_until(user_id) then return {'unknown_conversation'} end
  redis.call('HSET', members, user_id, 'member')
  redis.call('ZREM', invitations, user_id)
  keep()
  append_entry('member_joined', data)
  return {'ok', 'new', '1', 'title', known[2]}
end)

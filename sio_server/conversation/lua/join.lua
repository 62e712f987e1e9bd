-- Become a member of an open conversation, or of one to which the user is invited. `data` of the entry is JSON.
-- Returns ok: new ('1' or '0'); or an error code. A conversation that the user may not join looks as if it did not exist.
-- keys: conversation
-- include: entry request
local user_id, session_id, data = unpack(ARGV)
acting_session = session_id
return request(function()
  if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end
  if redis.call('HEXISTS', members, user_id) == 1 then return {'ok', 'new', '0'} end
  if redis.call('HGET', meta, 'access') ~= 'open' and not invited_until(user_id) then return {'unknown_conversation'} end
  redis.call('HSET', members, user_id, 'member')
  redis.call('ZREM', invitations, user_id)
  keep()
  append_entry('member_joined', data)
  return {'ok', 'new', '1'}
end)

-- Tell devices that an archived entry is deleted; nothing else is done here.
--   operator        '1': the user may delete in every conversation
--   by_user         '1': the entry is a message of this user
--   seq             of the entry; `data` of the one that says so (JSON)
-- Returns ok: deleted, rest (as `delete_message`, which answers a repetition of this); or an error code.
-- keys: conversation
-- include: entry request
local user_id, session_id, operator, by_user, seq, data = unpack(ARGV)
acting_session = session_id
return request(function()
  local refusal = operator ~= '1' and refuse_non_member(user_id)
  if refusal then return refusal end
  if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end
  local above = operator == '1' or is_service(user_id) or redis.call('HGET', members, user_id) == 'owner'
  if not above and by_user ~= '1' then return {'not_allowed'} end
  append_entry('message_deleted', data)
  return {'ok', 'deleted', {seq}, 'rest', seq}
end)

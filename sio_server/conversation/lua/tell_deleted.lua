-- Tell devices that an archived entry is deleted; with `forget` the dialog forgets everything, as in `delete_message`.
--   operator        '1': the user may delete in every conversation
--   by_user         '1': the entry is a message of this user
--   forget          '1': the dialog forgets everything; not for members
--   was_deleted     '1': the entry was deleted before, so nothing is told of it
--   seq             of the entry; `data` of the one that says so (JSON); `by`: the author of the deletion (JSON)
-- Returns ok: deleted, rest (as `delete_message`, which answers a repetition of this); or an error code.
-- keys: conversation
-- include: tombstone request
local user_id, session_id, operator, by_user, forget, was_deleted, seq, data, by = unpack(ARGV)
acting_session = session_id
return request(function()
  local refusal = operator ~= '1' and refuse_non_member(user_id)
  if refusal then return refusal end
  if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end
  local above = operator == '1' or is_service(user_id) or redis.call('HGET', members, user_id) == 'owner'
  if not above and (forget == '1' or by_user ~= '1') then return {'not_allowed'} end
  if forget == '1' then
    supersede_interrupts()
    for _, run_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do stop_run(run_id, true, by) end
    return_to('')
  end
  if was_deleted == '1' then return {'ok', 'deleted', {}, 'rest', 0} end
  append_entry('message_deleted', data)
  return {'ok', 'deleted', {seq}, 'rest', seq}
end)

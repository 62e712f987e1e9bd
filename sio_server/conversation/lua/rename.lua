-- Give a conversation another title (`title`), for its owner, a service, or an operator (`operator` is '1'). `data` of the
-- entry that says so is JSON.
-- Returns ok: changed ('1', or '0': it was called so); or an error code.
-- keys: conversation
-- include: entry request
local user_id, session_id, title, data, operator = unpack(ARGV)
acting_session = session_id
return request(function()
  local refusal = refuse_non_owner(user_id, operator)
  if refusal then return refusal end
  if redis.call('HGET', meta, 'title') == title then return {'ok', 'changed', '0'} end
  append_entry('conversation_renamed', data)
  redis.call('HSET', meta, 'title', title)
  return {'ok', 'changed', '1'}
end)

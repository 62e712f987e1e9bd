-- Change settings of a conversation (`settings`: JSON object of those fields of `meta` that are to change), for its owner, a
-- service, or an operator (`operator` is '1'). `by` is what the entry says of the person (JSON object).
-- A conversation that nobody can reach any more is kept for `abandoned_kept_ms` (0: for ever).
-- Returns ok: settings (values: agent, access, multitask, approvals, invites), changed ('1', or '0': they were so); or an
-- error code.
-- keys: conversation
-- include: entry request
local user_id, session_id, settings, by, operator, abandoned_kept_ms = unpack(ARGV)
local FIELDS = {'agent', 'access', 'multitask', 'approvals', 'invites'}
acting_session = session_id
local access = nil  -- the new one
local reply = request(function()
  local refusal = refuse_non_owner(user_id, operator)
  if refusal then return refusal end
  local wanted, known, different = cjson.decode(settings), redis.call('HMGET', meta, unpack(FIELDS)), {}
  for i, name in ipairs(FIELDS) do
    if wanted[name] and wanted[name] ~= known[i] then
      known[i] = wanted[name]
      different[#different + 1], different[#different + 2] = name, wanted[name]
    end
  end
  if #different == 0 then return {'ok', 'settings', known, 'changed', '0'} end
  append_entry('conversation_configured', with_fields(by, 'agent', known[1], 'access', known[2],
    'multitask_strategy', known[3], 'approvals', known[4], 'invites', known[5]))
  redis.call('HSET', meta, unpack(different))
  access = known[2]
  return {'ok', 'settings', known, 'changed', '1'}
end)
-- After the result is kept, so that it expires with the rest.
if access == 'open' then keep() elseif access then expire_if_unreachable(abandoned_kept_ms) end
return reply

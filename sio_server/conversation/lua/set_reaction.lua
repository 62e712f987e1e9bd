-- Give a reaction to a message or a final entry (`set` is '1'), or take it back, for a member. `data` of the entry that says
-- so is JSON. One that is as it should be makes no entry.
-- Returns too_many when the user has given the entry as many as one may.
-- Returns ok: entry_seq (of the entry that says so; 0: there is none); or an error code.
-- keys: conversation
-- include: entry request
local user_id, session_id, seq, reaction, set, data = unpack(ARGV)
acting_session = session_id
return request(function()
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  local found = read_entry(seq)
  local envelope = found and cjson.decode(found)
  if not envelope or not takes_replies[envelope.type] or envelope.data.deleted then return {'not_found'} end
  local field = seq .. ' ' .. user_id
  local given = cjson.decode(redis.call('HGET', reactions, field) or '{}')
  if set == '1' and given[reaction] then return {'ok', 'entry_seq', given[reaction]} end
  if set ~= '1' and not given[reaction] then return {'ok', 'entry_seq', 0} end
  local count = 0
  for _ in pairs(given) do count = count + 1 end
  if set == '1' and count >= MAX_REACTIONS then return {'too_many'} end
  local entry_seq = append_entry('reaction_changed', data)
  given[reaction] = set == '1' and entry_seq or nil
  if next(given) then
    redis.call('HSET', reactions, field, cjson.encode(given))
  else
    redis.call('HDEL', reactions, field)
  end
  expire_with_rest()
  return {'ok', 'entry_seq', entry_seq}
end)

-- Delete a message, or what the agent has said: its place in the log stays, and nothing of what it said. So do the earlier
-- texts of an edited message. A run that answers it is ended. If it is the last message the dialog forgets its turn.
--   seq             of the entry
--   operator        '1': the user may delete in every conversation
--   forget          '1': the dialog forgets everything; not for members
--   data            of the entry that says so, without what it deletes (JSON); `by`: the author of the deletion (JSON)
-- Returns ok: deleted (seqs; none if it was deleted before), rest (seq of an earlier text that is not in the log, or 0); or
-- an error code.
-- keys: conversation
-- include: tombstone request
local user_id, session_id, seq, operator, forget, data, by = unpack(ARGV)
acting_session = session_id
return request(function()
  local refusal = operator ~= '1' and refuse_non_member(user_id)
  if refusal then return refusal end
  if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end
  local entry = stored_entries(tonumber(seq), tonumber(seq))[1]
  if not entry then return {'not_found'} end
  local envelope = cjson.decode(entry.text)
  if not is_deletable[envelope.type] then return {'not_found'} end
  local above = operator == '1' or is_service(user_id) or redis.call('HGET', members, user_id) == 'owner'
  if not above and (forget == '1' or envelope.type ~= 'message' or envelope.data.user_id ~= user_id) then
    return {'not_allowed'}
  end
  local chain, rest = {}, 0
  while entry and #chain < MAX_EDITS do
    if not envelope.data.deleted then chain[#chain + 1] = entry end
    local edits = envelope.data.edits
    entry = edits and stored_entries(edits, edits)[1]
    if edits and not entry then rest = edits end
    envelope = entry and cjson.decode(entry.text)
  end
  local seqs, is_latest = {}, false
  for i, one in ipairs(chain) do
    seqs[i] = one.seq
    is_latest = is_latest or redis.call('HGET', meta, 'message_seq') == one.seq
  end
  if #seqs == 0 and forget ~= '1' then return {'ok', 'deleted', seqs, 'rest', rest} end

  local asked = redis.call('HMGET', meta, 'asked_seq', 'asked_for')
  local any_asked = redis.call('EXISTS', interrupts) == 1
  for _, one in ipairs(seqs) do
    if any_asked and (asked[1] == one or asked[2] == one) then supersede_interrupts() end
  end
  if forget == '1' then supersede_interrupts() end
  for _, run_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do
    local input = redis.call('HGET', run_prefix .. run_id, 'input_seq')
    local ends = forget == '1'
    for _, one in ipairs(seqs) do ends = ends or one == input end
    if ends then stop_run(run_id, true, by) end
  end
  if forget == '1' then
    return_to('')
  elseif is_latest then
    local turn = redis.call('HMGET', meta, 'turn_seq', 'turn_base', 'message_seq', 'thread')
    -- A turn that has not ended has left the dialog where it stood.
    return_to(turn[1] == turn[3] and turn[2] or turn[4] or '')
  end
  for _, one in ipairs(chain) do delete_entry(one) end
  if #seqs > 0 then append_entry('message_deleted', with_fields(data, 'deletes', raw('[' .. table.concat(seqs, ',') .. ']'))) end
  return {'ok', 'deleted', seqs, 'rest', rest}
end)

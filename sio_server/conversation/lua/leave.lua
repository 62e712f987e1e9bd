-- Stop being a member, or decline an invitation. A user who is neither changes nothing. `data` of the entry is JSON.
-- `removed_by`: who else ends the membership, or withdraws the invitation: the owner, a service, or an operator (`operator`
-- is '1'); '' when it is the user.
-- A conversation that nobody can reach any more is kept for `abandoned_kept_ms` (0: for ever).
-- Returns ok: left ('1' if the user was a member, or '0'), withdrawn ('1' if the user was invited only); or an error code.
-- keys: conversation
-- include: entry request
local user_id, session_id, data, abandoned_kept_ms, removed_by, operator = unpack(ARGV)
acting_session = session_id
local gone = false
local reply = request(function()
  local refusal = removed_by ~= '' and refuse_non_owner(removed_by, operator)
  if refusal then return refusal end
  local declined = redis.call('ZREM', invitations, user_id) == 1
  if redis.call('HDEL', members, user_id) == 0 then
    gone = declined
    return {'ok', 'left', '0', 'withdrawn', declined and '1' or '0'}
  end
  -- Entries name the user from now on who is found nowhere else; see `data/user_deletion.py`.
  redis.call('HSET', usage, 'left ' .. user_id, 1)
  redis.call('HDEL', reads, user_id)
  redis.call('HDEL', touched, user_id)
  redis.call('HDEL', listed, user_id)
  local draft = redis.call('HGET', drafts, user_id)
  if draft then
    redis.call('HDEL', drafts, user_id)
    redis.call('HINCRBY', usage, user_id, -#draft)
  end
  for _, field in ipairs(redis.call('ZRANGE', delivered, 0, -1)) do
    if string.match(field, '^%S+') == user_id then redis.call('ZREM', delivered, field) end
  end
  -- Nodes put the leaver's sessions out of the room when they meet this entry, in the order of the log.
  append_entry('member_left', data, {subject = user_id})
  gone = true
  return {'ok', 'left', '1', 'withdrawn', '0'}
end)
-- After the result is kept, so that it expires with the rest.
if gone then expire_if_unreachable(abandoned_kept_ms) end
return reply

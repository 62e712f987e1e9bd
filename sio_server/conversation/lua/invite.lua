-- Invite users (`user_ids`, a JSON array) for `invitations_kept_ms`: as any member, or as the owner where only the owner
-- may. An invitation that holds already is renewed. `unknown` (a JSON array) is kept with the result.
-- Returns ok: new (ids of the users newly invited), title, unknown; or an error code.
-- keys: conversation
-- include: entry request
local user_id, user_ids, invitations_kept_ms, unknown = unpack(ARGV)
return request(function()
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  if redis.call('HGET', meta, 'invites') == 'owner' and not may_as_owner(user_id) then return {'not_allowed'} end
  local now_ms, new = milliseconds(), {}
  redis.call('ZREMRANGEBYSCORE', invitations, '-inf', now_ms)
  for _, guest in ipairs(cjson.decode(user_ids)) do
    if redis.call('HEXISTS', members, guest) == 0
      and redis.call('ZADD', invitations, now_ms + invitations_kept_ms, guest) == 1 then
      new[#new + 1] = guest
    end
  end
  -- A service may invite into a conversation that nobody can reach: it is kept as long as the invitation holds.
  local still_ms = redis.call('PTTL', meta)
  if still_ms > 0 then
    for _, key in ipairs(own_keys()) do redis.call('PEXPIRE', key, math.max(still_ms, invitations_kept_ms)) end
  end
  return {'ok', 'new', new, 'title', redis.call('HGET', meta, 'title'), 'unknown', unknown}
end)

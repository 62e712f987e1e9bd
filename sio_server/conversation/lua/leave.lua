-- Stop being a member, or decline an invitation. A user who is neither changes nothing. `data` of the entry is JSON.
-- Returns ok: left ('1' if the user was a member, or '0').
-- keys: conversation
-- include: entry once
local user_id, data = unpack(ARGV)
return once(function()
  redis.call('SREM', invited, user_id)
  if redis.call('HDEL', members, user_id) == 0 then return {'ok', 'left', '0'} end
  redis.call('HDEL', reads, user_id)
  redis.call('HDEL', drafts, user_id)
  for _, field in ipairs(redis.call('ZRANGE', delivered, 0, -1)) do
    if string.match(field, '^%S+') == user_id then redis.call('ZREM', delivered, field) end
  end
  -- Nodes put the leaver's sessions out of the room when they meet this entry, in the order of the log.
  append_entry('member_left', data)
  return {'ok', 'left', '1'}
end)

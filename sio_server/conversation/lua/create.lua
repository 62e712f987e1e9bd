-- Create a conversation with its owner as first member.
--   retention       how many entries are kept, 0: all
--   data            of the first entry (JSON)
--   settings        of the conversation (JSON object of strings)
--   user_ids        of invited users (JSON array)
--   invitations_kept_ms   how long their invitations hold
-- Returns ok: new ('1' or '0'); or an error code.
-- keys: conversation
-- include: entry request
local user_id, session_id, epoch, retention, data, settings, user_ids, invitations_kept_ms = unpack(ARGV)
acting_session = session_id
return request(function()
  local known = redis.call('HMGET', meta, 'owner', 'digest')
  if known[1] then
    if known[1] == user_id and known[2] == digest then return {'ok', 'new', '0'} end
    return {'conversation_exists'}
  end
  redis.call('HSET', meta, 'epoch', epoch, 'seq', 0, 'n', 0, 'first', 1, 'fence', 0, 'retention', retention, 'digest', digest,
    'owner', user_id)
  local primary = redis.call('HGET', stats, 'primary')
  if primary then redis.call('HSET', meta, 'primary', primary) end
  for name, value in pairs(cjson.decode(settings)) do redis.call('HSET', meta, name, value) end
  redis.call('HSET', members, user_id, 'owner')
  local until_ms = milliseconds() + invitations_kept_ms
  for _, guest in ipairs(cjson.decode(user_ids)) do redis.call('ZADD', invitations, until_ms, guest) end
  redis.call('HINCRBY', stats, 'conversations', 1)
  append_entry('conversation_created', data)
  return {'ok', 'new', '1'}
end)

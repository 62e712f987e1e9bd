-- Keep a user's unsent text (`text`, a JSON string). The caller shows it on the user's own devices.
-- Returns ok: rev; grant_needed: wanted (bytes), when more has to be granted to the user first (`quota` is '' if bytes are
-- not limited); or an error code. `rev` counts up, so that a device can drop what is older than what it shows.
-- keys: conversation
-- include: entry request
local user_id, device_id, session_id, text, quota = unpack(ARGV)
return request(function()
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  local before = redis.call('HGET', drafts, user_id) or ''
  refusal = #text > #before and refuse_ungranted(user_id, #text + ENTRY_BYTES - #before, quota)
  if refusal then return refusal end
  -- One counter for all drafts of the conversation: it continues when a user leaves and comes back.
  local rev = redis.call('HINCRBY', meta, 'draft_rev', 1)
  local draft = object('rev', rev, 'device_id', device_id, 'session_id', session_id, 'text', raw(text))
  redis.call('HSET', drafts, user_id, draft)
  redis.call('HSET', touched, user_id, now())
  redis.call('HINCRBY', usage, user_id, #draft - #before)
  return {'ok', 'rev', rev}
end)

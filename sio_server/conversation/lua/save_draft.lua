-- Keep a user's unsent text (`text`, a JSON string), and show it on the user's own devices.
-- Returns ok: rev; or an error code. `rev` counts up, so that a device can drop what is older than what it shows.
-- keys: conversation
-- include: entry once
local user_id, device_id, text = unpack(ARGV)
return once(function()
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  -- One counter for all drafts of the conversation: it continues when a user leaves and comes back.
  local rev = redis.call('HINCRBY', meta, 'draft_rev', 1)
  local draft = object('rev', rev, 'device_id', device_id, 'text', raw(text))
  redis.call('HSET', drafts, user_id, draft)
  publish('draft:updated', USER_ROOM .. user_id, object('conversation_id', conversation_id, 'draft', raw(draft)))
  return {'ok', 'rev', rev}
end)

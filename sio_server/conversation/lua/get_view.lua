-- What a member may know of a conversation at this moment, apart from its entries.
--   user_id         '' for a node, which tells it to the sessions of members only
--   user_ids        of whom the node has sessions that follow the conversation (JSON array)
-- Returns ok: what `_view.lua` says; role, draft (JSON or ''), left (those of user_ids that are not members), drafts (of those
-- that are: user id, JSON, ...); or an error code.
-- keys: conversation
-- include: view
local user_id, user_ids = unpack(ARGV)
local refusal = user_id ~= '' and refuse_non_member(user_id)
if refusal then return refusal end
local reply = view_reply(true)
if reply[1] ~= 'ok' then return reply end
local left, their_drafts = {}, {}
for _, user in ipairs(cjson.decode(user_ids)) do
  if redis.call('HEXISTS', members, user) == 0 and not is_service(user) then
    left[#left + 1] = user
  else
    local draft = redis.call('HGET', drafts, user)
    if draft then their_drafts[#their_drafts + 1], their_drafts[#their_drafts + 2] = user, draft end
  end
end
return add(reply, 'role', redis.call('HGET', members, user_id) or '', 'draft', redis.call('HGET', drafts, user_id) or '',
  'left', left, 'drafts', their_drafts)

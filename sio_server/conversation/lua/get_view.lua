-- What a member may know of a conversation at this moment, apart from its entries.
--   user_id         '' for a node, which tells it to the sessions of members only
--   user_ids        of whom the node has sessions that follow the conversation (JSON array)
-- Returns ok: meta and reads (field, value, ...), role, draft (JSON or ''), runs: the unfinished ones in their order (JSON);
-- interrupts (ids of the open ones), asked (the entry that asks them, or ''), delivered (mark, seq, ..., highest first),
-- left (those of user_ids that are not members), drafts (of those that are: user id, JSON, ...); or an error code.
-- keys: conversation
-- include: run
local user_id, user_ids = unpack(ARGV)
local refusal = user_id ~= '' and refuse_non_member(user_id)
if refusal then return refusal end
if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end

local runs_now = {}
for i, run_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do
  local record = run_prefix .. run_id
  local parts, texts = written_parts(record)
  for part, head in ipairs(parts) do parts[part] = with_fields(head, 'text', texts[part]) end
  local reports = table.concat(redis.call('LRANGE', record .. ':reports', 0, -1), ',')
  runs_now[i] = run_state(run_id, '[' .. table.concat(parts, ',') .. ']', '[' .. reports .. ']')
end
local left, their_drafts = {}, {}
for _, user in ipairs(cjson.decode(user_ids)) do
  if redis.call('HEXISTS', members, user) == 0 then
    left[#left + 1] = user
  else
    local draft = redis.call('HGET', drafts, user)
    if draft then their_drafts[#their_drafts + 1], their_drafts[#their_drafts + 2] = user, draft end
  end
end
local open = redis.call('HKEYS', interrupts)
local asked = #open > 0 and read_entry(redis.call('HGET', meta, 'asked_seq')) or ''
return {'ok', 'meta', redis.call('HGETALL', meta), 'role', redis.call('HGET', members, user_id) or '',
  'reads', redis.call('HGETALL', reads), 'draft', redis.call('HGET', drafts, user_id) or '',
  'runs', '[' .. table.concat(runs_now, ',') .. ']', 'interrupts', open, 'asked', asked,
  'delivered', redis.call('ZREVRANGE', delivered, 0, MAX_DELIVERED - 1, 'WITHSCORES'),
  'left', left, 'drafts', their_drafts}

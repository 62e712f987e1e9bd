-- What a user's list of conversations says of one, at this moment.
--   mention_marks   what is looked for in an entry's mentions (JSON array); see `protocol/mention.py`
--   since_ms        the rest is left out if nothing has changed since then, or ''
-- Returns ok: state: none (neither a member nor invited), same (not changed), invited: title; or member: meta (field, value,
-- ...), role, read, draft (JSON or ''), last (the newest message or answer, or ''), unread and mentions (of the
-- current entries by others above the read mark: how many, and how many of these mention the user).
-- keys: conversation
-- include: entry
local user_id, mention_marks, since_ms = unpack(ARGV)
local role = redis.call('HGET', members, user_id)
if not role then
  if not invited_until(user_id) then return {'ok', 'state', 'none'} end
  return {'ok', 'state', 'invited', 'title', redis.call('HGET', meta, 'title') or ''}
end

local listed = {'title', 'access', 'agent', 'graph', 'epoch', 'seq', 'first', 'ts', 'said_seq'}
local known = redis.call('HMGET', meta, unpack(listed))
if since_ms ~= '' then
  -- The time of the last entry, of the user's own marks and draft, and of a new epoch.
  local since, changes = iso_of(tonumber(since_ms)), redis.call('HMGET', touched, user_id, '')
  if known[8] < since and (changes[1] or '') < since and (changes[2] or '') < since then
    return {'ok', 'state', 'same'}
  end
end

local read = tonumber(redis.call('HGET', reads, user_id) or '0')
local lowest, upper = math.max(read + 1, tonumber(known[7])), tonumber(known[6])
local marks, unread, mentions, bytes = cjson.decode(mention_marks), 0, 0, 0
local any_hidden = redis.call('EXISTS', hidden) == 1
local function is_mentioned(in_entry)
  for _, mark in ipairs(marks) do
    if string.find(in_entry, mark, 1, true) then return true end
  end
  return false
end
while upper >= lowest and unread < MAX_UNREAD and bytes < UNREAD_BYTES do
  local found = redis.call('XREVRANGE', log, entry_id(upper), entry_id(lowest), 'COUNT', 20)
  if #found == 0 then break end
  for _, item in ipairs(found) do
    local author, mentioned = item[2][6], item[2][8]
    bytes = bytes + #item[2][2]
    local is_hidden = any_hidden and redis.call('HEXISTS', hidden, string.match(item[1], '^%d+')) == 1
    if author ~= '' and author ~= user_id and not is_hidden and unread < MAX_UNREAD then
      unread = unread + 1
      if mentioned ~= '' and is_mentioned(mentioned) then mentions = mentions + 1 end
    end
  end
  upper = tonumber(string.match(found[#found][1], '^%d+')) - 1
end

local meta_now = {}
for i, name in ipairs(listed) do
  meta_now[2 * i - 1] = name
  meta_now[2 * i] = known[i] or ''
end
return {'ok', 'state', 'member', 'meta', meta_now, 'role', role, 'read', read,
  'draft', redis.call('HGET', drafts, user_id) or '', 'last', known[9] and read_entry(known[9]) or '',
  'unread', unread, 'mentions', mentions}

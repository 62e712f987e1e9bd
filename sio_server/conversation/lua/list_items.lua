-- What a user's list of conversations says of some of them, each as it is at this moment.
--   mention_marks   what is looked for in an entry's mentions (JSON array); see `protocol/mention.py`
--   since_ms        the rest is left out of those in which nothing has changed since then, or ''
-- Returns ok: items, for each conversation in order a flat map. After about LISTED_BYTES of entries it ends early, with one
-- item at least. An item has state: none (neither a member nor invited), same (not changed), invited: title; or member: meta
-- (field, value, ...), role, read, draft (JSON or ''), last (the newest message or answer, or ''), listed (letters: p: pinned,
-- a: in the archive of the list), unread and mentions (of the current messages, answers, questions and failures of others above
-- the read mark: how many, and how many of these mention the user).
-- keys: conversations
-- include: entry
local user_id, mention_marks, since_ms = unpack(ARGV)
local FIELDS = {'title', 'access', 'agent', 'graph', 'epoch', 'seq', 'first', 'ts', 'said_seq'}
local marks, since = cjson.decode(mention_marks), since_ms ~= '' and iso_of(tonumber(since_ms))
local bytes = 0  -- that were looked at

local function is_mentioned(in_entry)
  for _, mark in ipairs(marks) do
    if string.find(in_entry, mark, 1, true) then return true end
  end
  return false
end

local function count_unread(lowest, upper)
  local unread, mentions, any_hidden, ends_at = 0, 0, redis.call('EXISTS', hidden) == 1, bytes + UNREAD_BYTES
  while upper >= lowest and unread < MAX_UNREAD and bytes < ends_at do
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
  return unread, mentions
end

local function item_now()
  local role = redis.call('HGET', members, user_id)
  if not role then
    if not invited_until(user_id) then return {'state', 'none'} end
    return {'state', 'invited', 'title', redis.call('HGET', meta, 'title') or ''}
  end
  local known = redis.call('HMGET', meta, unpack(FIELDS))
  if since then
    -- The time of the last entry, of what the user has changed, and of a new epoch.
    local changes = redis.call('HMGET', touched, user_id, '')
    if known[8] < since and (changes[1] or '') < since and (changes[2] or '') < since then return {'state', 'same'} end
  end
  local read = tonumber(redis.call('HGET', reads, user_id) or '0')
  local unread, mentions = count_unread(math.max(read + 1, tonumber(known[7])), tonumber(known[6]))
  local meta_now = {}
  for i, name in ipairs(FIELDS) do
    meta_now[2 * i - 1] = name
    meta_now[2 * i] = known[i] or ''
  end
  local last = known[9] and read_entry(known[9]) or ''
  bytes = bytes + #last
  return {'state', 'member', 'meta', meta_now, 'role', role, 'read', read,
    'draft', redis.call('HGET', drafts, user_id) or '', 'last', last, 'listed', redis.call('HGET', listed, user_id) or '',
    'unread', unread, 'mentions', mentions}
end

local items = {}
for number = 1, conversation_count do
  if bytes > LISTED_BYTES then break end
  select_conversation(number)
  items[number] = item_now()
end
return {'ok', 'items', items}

-- What the scripts of a conversation share: its id, who may use it, and the one way to append an entry.
-- include: time bus json
local conversation_id = string.match(meta, ':conv:(.*):meta$')
local conversation_channel = string.sub(meta, 1, -5) .. 'bus'
-- The session whose request this step carries out: devices are told with the entries that it causes. '' for none.
local acting_session = ''

-- What this step makes: `by` is the request that it carries out (see `_request.lua`), `seq` that of the last entry.
local made = {}

-- Whether this is a service, which may do in every conversation what a member and the owner may, and need be none.
local function is_service(user_id)
  return string.sub(user_id, 1, #SERVICE_PREFIX) == SERVICE_PREFIX
end

-- Whether this is the owner, or a service.
local function may_as_owner(user_id)
  return is_service(user_id) or redis.call('HGET', members, user_id) == 'owner'
end

-- The reply to a user who is not a member, or nil. A conversation by invitation looks as if it did not exist.
local function refuse_non_member(user_id)
  if redis.call('HEXISTS', members, user_id) == 1 then return nil end
  if is_service(user_id) and redis.call('EXISTS', meta) == 1 then return nil end
  return {redis.call('HGET', meta, 'access') == 'open' and 'not_a_member' or 'unknown_conversation'}
end

-- The reply to a user who may not do what is the owner's, or nil. An operator (`operator` is '1') may, without being a
-- member.
local function refuse_non_owner(user_id, operator)
  if operator == '1' and redis.call('EXISTS', meta) == 1 then return nil end
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  if not may_as_owner(user_id) then return {'not_allowed'} end
end

-- Whether a user who writes `bytes` more exceeds what was granted to the user in this conversation: then the reply
-- that says how much is wanted in all, or nil. `quota` is '' when bytes are not limited.
local function refuse_ungranted(user_id, bytes, quota)
  if quota == '' then return nil end
  local known = redis.call('HMGET', usage, user_id, 'granted ' .. user_id)
  local wanted = tonumber(known[1] or '0') + bytes
  if wanted <= tonumber(known[2] or '0') then return nil end
  return {'grant_needed', 'wanted', wanted}
end

-- Until when (ms) a user is invited, or nil.
local function invited_until(user_id)
  local until_ms = tonumber(redis.call('ZSCORE', invitations, user_id) or '0')
  return until_ms > milliseconds() and until_ms or nil
end

-- All keys that only this conversation has.
local function own_keys()
  return {meta, members, invitations, log, sent, reads, drafts, delivered, unfinished, interrupts, answers, resolved,
    threads, retired, usage, forms, turns, hidden, touched, long, schedules, deleted, archived, listed}
end

-- A conversation that nobody can reach (no member, not open, no invitation that holds) is kept for `kept_ms`
-- milliseconds (0: for ever), after the last invitation if there is one. Run records expire by themselves.
local function expire_if_unreachable(kept_ms)
  if kept_ms == '0' or redis.call('EXISTS', members) == 1 or redis.call('HGET', meta, 'access') == 'open' then return end
  local last = redis.call('ZREVRANGE', invitations, 0, 0, 'WITHSCORES')[2]
  local still_ms = math.max(0, tonumber(last or '0') - milliseconds())
  for _, key in ipairs(own_keys()) do redis.call('PEXPIRE', key, still_ms + kept_ms) end
end

-- What was written just now expires with the rest of a conversation that nobody can reach.
local function expire_with_rest()
  local still_ms = redis.call('PTTL', meta)
  if still_ms <= 0 then return end
  for _, key in ipairs(own_keys()) do redis.call('PEXPIRE', key, still_ms) end
  made.expires_ms = still_ms
end

-- A member came back: nothing expires any more.
local function keep()
  for _, key in ipairs(own_keys()) do redis.call('PERSIST', key) end
end

-- The id of the log's entry with this seq.
local function entry_id(seq)
  return string.format('%.0f-0', seq)
end

-- What is kept of an entry that was deleted: its field in `sent`, 'm' if it was a message, and its envelope.
local DELETED = '^([^\n]*)\n(m?)\n(.*)$'

-- The envelope of the entry with this seq, or nil.
local function read_entry(seq)
  local found = redis.call('XRANGE', log, entry_id(seq), entry_id(seq))[1]
  if found then return found[2][2] end
  local left = redis.call('HGET', deleted, seq)
  return left and select(3, string.match(left, DELETED))
end

-- The author of an answer, a question or a failure, as the log's fields name it for lists of conversations, which count them.
local AGENT = 'agent:'
local is_counted = {answer = true, interrupt = true, failed = true}

-- The log has lost entries that were delivered (a truncated append-only file, a failover). It gets a new epoch, so that
-- no position stands for two different entries; nodes and devices start over.
local function begin_epoch(epoch)
  redis.call('HSET', meta, 'epoch', epoch)
  redis.call('HSET', touched, '', now())
  expire_with_rest()
  publish_message(conversation_channel, 'R ' .. epoch .. '\n')
end

-- Has Sentinel replaced the primary since the conversation was changed last? A node says so in `stats` before it does
-- anything else there. What the old primary has shown may be lost, so the log gets a new epoch before anything
-- takes the place of that.
local promotion_noticed = false
local function notice_promotion()
  if promotion_noticed then return end
  promotion_noticed = true
  local noted = redis.call('HMGET', stats, 'primary', 'primary0')
  local primary = noted[1]
  if not primary then return end
  local known = redis.call('HMGET', meta, 'primary', 'epoch')
  if known[1] == primary or not known[2] then return end
  redis.call('HSET', meta, 'primary', primary)
  -- It was there before Sentinel was, and there has been no failover since.
  if not known[1] and primary == noted[2] then return end
  begin_epoch(string.sub(redis.sha1hex(known[2] .. ' ' .. primary), 1, 12))
end

-- Publish the next event of the conversation's stream, other than an entry: its number and its members.
local function publish_next(event, ...)
  notice_promotion()
  local n = redis.call('HINCRBY', meta, 'n', 1)
  local head = string.format('N %.0f', n)
  publish(conversation_channel, head, event, object('conversation_id', conversation_id, 'n', n, ...))
end

-- The entries of a turn that are current.
local function current_entries(turn_id)
  return redis.call('ZRANGEBYSCORE', turns, turn_id, turn_id)
end

-- The beginning of a text, of at most `bytes`: no character is split.
local function beginning(text, bytes)
  if #text <= bytes then return text end
  -- The byte after the cut begins a character.
  while bytes > 0 and string.find(string.sub(text, bytes + 1, bytes + 1), '[\128-\191]') do bytes = bytes - 1 end
  return string.sub(text, 1, bytes)
end

-- The whole data of a long entry in pages.
local function pages_of(whole)
  local pages, from = {}, 1
  while from <= #whole do
    local page = beginning(string.sub(whole, from, from + ENTRY_BYTES_SHOWN + 3), ENTRY_BYTES_SHOWN)
    pages[#pages + 1], from = page, from + #page
  end
  return pages
end

local function keep_pages(seq, pages)
  for number, page in ipairs(pages) do redis.call('HSET', long, seq .. ' ' .. (number - 1), page) end
  redis.call('HSET', long, seq, #pages)
end

-- An entry is dropped from the log: nothing is left of its pages.
local function drop_pages(seq)
  local pages = redis.call('HGET', long, seq)
  if not pages then return end
  for page = 0, pages - 1 do redis.call('HDEL', long, seq .. ' ' .. page) end
  redis.call('HDEL', long, seq)
end

-- The entries from one seq to another, in ascending order, those that were deleted among them: {seq, text (the envelope),
-- by (its field in `sent`), message (whether it is one of a user), counts_for (for whom its bytes count, or nil)} of each.
local function stored_entries(from, to)
  local at, entries, missing = {}, {}, {}
  for _, item in ipairs(redis.call('XRANGE', log, entry_id(from), entry_id(to))) do
    local seq, fields = string.sub(item[1], 1, -3), item[2]
    local counts_for = fields[6] ~= '' and fields[6] ~= AGENT and fields[6] or nil
    at[seq] = {seq = seq, text = fields[2], by = fields[4], message = counts_for ~= nil, counts_for = counts_for}
  end
  local any_deleted = redis.call('EXISTS', deleted) == 1
  for number = from, to do
    local seq = string.format('%.0f', number)
    local left = not at[seq] and any_deleted and redis.call('HGET', deleted, seq)
    if left then
      local by, message, text = string.match(left, DELETED)
      at[seq] = {seq = seq, text = text, by = by, message = message == 'm'}
    end
    entries[#entries + 1] = at[seq]
  end
  return entries
end

-- The result of a request is kept no longer than the last entry that it made. Which message of a user was dropped last is
-- known, since the user's next one may say that it comes `after` it.
local function forget_result(entry)
  if entry.by == '' then return end
  local record = redis.call('HGET', sent, entry.by)
  if record and string.match(record, '^%x+ %x+ (%d+)') == entry.seq then redis.call('HDEL', sent, entry.by) end
  if entry.message then redis.call('HSET', sent, string.match(entry.by, '^(%S+) (%S+)$')) end
end

-- Drop the entries from `first` on that are below `keep_from`, and what is kept of each.
local function drop_entries(first, keep_from)
  local results_from = tonumber(redis.call('HGET', meta, 'results_from') or '1')
  for _, old in ipairs(stored_entries(first, keep_from - 1)) do
    if tonumber(old.seq) >= results_from then forget_result(old) end
    if old.counts_for then redis.call('HINCRBY', usage, old.counts_for, -#old.text) end
    if redis.call('ZREM', turns, old.seq) == 0 then redis.call('HDEL', hidden, old.seq) end
    if string.find(old.text, '"pages":', 1, true) then drop_pages(old.seq) end
    redis.call('HDEL', deleted, old.seq)
  end
  redis.call('XTRIM', log, 'MINID', entry_id(keep_from))
end

-- What webhooks tell. There is such a stream only while endpoints are told (see `gateway/api/lua/open_hooks.lua`).
local function tell_hooks(entry_type, envelope)
  if redis.call('EXISTS', hooks) == 1 then
    redis.call('XADD', hooks, 'MAXLEN', '~', MAX_HOOKS, '*', 'c', conversation_id, 't', entry_type, 'e', envelope)
  end
end

-- Append one entry, publish it, and drop what is older than the retention (0: keep all). `data` is JSON text.
-- Of `about`, each may be missing: turn_id, hides (seqs of entries that are current no longer), hides_itself, counts_for
-- (the author of a message, for whom the entry's bytes count), mentions (the people that a message names, ' name name '),
-- whole (the whole data, JSON, when `data` is shortened, or ''), subject (the user that leaves, or the run that the entry
-- ends), known (what is read first here, as it is now).
-- XADD comes first: should it fail, nothing has been changed yet.
local function append_entry(entry_type, data, about)
  about = about or {}
  notice_promotion()
  local known = about.known or redis.call('HMGET', meta, 'seq', 'epoch', 'first', 'retention', 'n', 'said_seq')
  local number, epoch, n = tonumber(known[1]) + 1, known[2], json(tonumber(known[5]) + 1)
  local seq, ts = json(number), now()
  local turn_id = entry_type == 'message' and seq or about.turn_id and json(tonumber(about.turn_id))
  local hides, counts_for = about.hides or {}, about.counts_for
  if about.hides_itself then hides[#hides + 1] = seq end
  local pages = (about.whole or '') ~= '' and pages_of(about.whole)
  -- The envelope without its first brace.
  local told = '"v":2,"conversation_id":' .. json(conversation_id) .. ',"epoch":' .. json(epoch) .. ',"seq":' .. seq
    .. ',"type":"' .. entry_type .. '","ts":"' .. ts .. (turn_id and '","turn_id":' .. turn_id or '"')
    .. (#hides > 0 and ',"hides":[' .. table.concat(hides, ',') .. ']' or '')
    .. (pages and ',"pages":' .. #pages or '') .. ',"data":' .. data .. '}'
  local author = counts_for or (is_counted[entry_type] and AGENT or '')
  redis.call('XADD', log, seq .. '-0', 'e', '{' .. told, 'k', made.by or '', 'a', author, 'm', about.mentions or '')
  made.seq = number
  if pages then keep_pages(number, pages) end
  local said_seq = (entry_type == 'message' or entry_type == 'answer') and seq or known[6] or '0'
  if turn_id and not about.hides_itself then redis.call('ZADD', turns, turn_id, seq) end
  for _, other in ipairs(hides) do
    redis.call('HSET', hidden, other, seq)
    redis.call('ZREM', turns, other)
    -- What was said last is the turn's message again, until the turn has another answer.
    if tostring(other) == said_seq then said_seq = turn_id end
  end
  local first, retention = tonumber(known[3]), tonumber(known[4])
  local keep_from = first
  if retention > 0 and number - first + 1 > retention then
    -- Not more than a few at once: what was to be kept before is more, when the setting has changed (see `sweep`).
    keep_from = math.min(number - retention + 1, first + DROPPED_AT_ONCE)
  end
  if entry_type == 'message' then
    redis.call('HSET', meta, 'seq', seq, 'ts', ts, 'n', n, 'said_seq', said_seq, 'first', keep_from,
      'message_seq', seq, 'message_user', counts_for)
  else
    redis.call('HSET', meta, 'seq', seq, 'ts', ts, 'n', n, 'said_seq', said_seq, 'first', keep_from)
  end
  if keep_from > first then drop_entries(first, keep_from) end
  if counts_for then redis.call('HINCRBY', usage, counts_for, #told + 1) end
  -- An entry that is hidden since is not as it was read for the archive.
  if #hides > 0 then redis.call('HINCRBY', meta, 'changes', 1) end
  expire_with_rest()
  redis.call('HINCRBY', stats, 'entries', 1)
  tell_hooks(entry_type, '{' .. told)
  publish_message(conversation_channel, 'E ' .. n .. ' ' .. epoch .. ' ' .. seq .. ' ' .. ts .. ' ' .. entry_type .. ' '
    .. (about.subject or '-') .. '\n42["entry:appended",{"n":' .. n
    .. (acting_session == '' and ',' or ',"session_id":' .. json(acting_session) .. ',') .. told .. ']')
  return number, epoch, ts
end

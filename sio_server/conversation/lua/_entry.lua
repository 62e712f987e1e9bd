-- What the scripts of a conversation share: its id, who may use it, and the one way to append an entry.
-- include: time bus json
local conversation_id = string.match(meta, ':conv:(.*):meta$')
local conversation_room = CONVERSATION_ROOM .. conversation_id

-- The reply to a user who is not a member, or nil. A conversation by invitation looks as if it did not exist.
local function refuse_non_member(user_id)
  if redis.call('HEXISTS', members, user_id) == 1 then return nil end
  return {redis.call('HGET', meta, 'access') == 'open' and 'not_a_member' or 'unknown_conversation'}
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
    threads, retired, usage, touched}
end

-- A conversation that nobody can reach (no member, not open, no invitation that holds) is kept for `kept_ms`
-- milliseconds (0: for ever), after the last invitation if there is one. Run records expire by themselves.
local function expire_if_unreachable(kept_ms)
  if kept_ms == '0' or redis.call('EXISTS', members) == 1 or redis.call('HGET', meta, 'access') == 'open' then return end
  local last = redis.call('ZREVRANGE', invitations, 0, 0, 'WITHSCORES')[2]
  local still_ms = math.max(0, tonumber(last or '0') - milliseconds())
  for _, key in ipairs(own_keys()) do redis.call('PEXPIRE', key, still_ms + kept_ms) end
end

-- A member came back: nothing expires any more.
local function keep()
  for _, key in ipairs(own_keys()) do redis.call('PERSIST', key) end
end

-- The id of the log's entry with this seq.
local function entry_id(seq)
  return string.format('%.0f-0', seq)
end

-- The envelope of the entry with this seq, or nil.
local function read_entry(seq)
  local found = redis.call('XRANGE', log, entry_id(seq), entry_id(seq))[1]
  return found and found[2][2]
end

-- What a list of conversations reads of an entry: the author of a message, an answer or a question, and whom a message
-- mentions. A message is the one entry that a user's request is remembered for.
local mentioned_people = ''
local function listed_fields(entry_type, sent_field)
  if entry_type == 'message' then return string.match(sent_field, '^%S+'), mentioned_people end
  return (entry_type == 'answer' or entry_type == 'interrupt') and 'agent:' or '', ''
end

-- The log has lost entries that were delivered (a truncated append-only file, a failover). It gets a new epoch, so that
-- no position stands for two different entries; nodes and devices start over.
local function begin_epoch(epoch)
  redis.call('HSET', meta, 'epoch', epoch)
  redis.call('HSET', touched, '', now())
  publish('conversation:reset', conversation_room, object('conversation_id', conversation_id, 'epoch', epoch))
end

-- Append one entry, publish it, and drop what is older than the retention (0: keep all). `data` is JSON text.
-- XADD comes first: should it fail, nothing has been changed yet.
local function append_entry(entry_type, data, sent_field)
  local known = redis.call('HMGET', meta, 'seq', 'epoch', 'first', 'retention')
  local seq, epoch = tonumber(known[1]) + 1, known[2]
  local ts = now()
  local envelope = object('v', 2, 'conversation_id', conversation_id, 'epoch', epoch, 'seq', seq, 'type', entry_type, 'ts', ts,
    'data', raw(data))
  local author, mentioned = listed_fields(entry_type, sent_field)
  redis.call('XADD', log, entry_id(seq), 'e', envelope, 'k', sent_field or '', 'a', author, 'm', mentioned)
  redis.call('HSET', meta, 'seq', seq, 'ts', ts)
  local first, retention = tonumber(known[3]), tonumber(known[4])
  if retention > 0 and seq - first + 1 > retention then
    local keep_from = seq - retention + 1
    -- A send is remembered exactly as long as its entry is.
    for _, old in ipairs(redis.call('XRANGE', log, '-', entry_id(keep_from - 1))) do
      if old[2][4] ~= '' then
        redis.call('HDEL', sent, old[2][4])
        redis.call('HINCRBY', usage, string.match(old[2][4], '^%S+'), -#old[2][2])
      end
    end
    redis.call('XTRIM', log, 'MINID', entry_id(keep_from))
    redis.call('HSET', meta, 'first', keep_from)
  end
  if sent_field then redis.call('HINCRBY', usage, string.match(sent_field, '^%S+'), #envelope) end
  if entry_type == 'message' or entry_type == 'answer' then redis.call('HSET', meta, 'said_seq', seq) end
  redis.call('HINCRBY', stats, 'entries', 1)
  publish('entry:appended', conversation_room, envelope)
  return seq, epoch, ts
end

-- Put before every script of a conversation: names for its keys, and the one way to append an entry.
local meta, members, invited, log, sent, reads, drafts, lease, unfinished, runs, stats,
  interrupts, answers, resolved, threads, retired, delivered = unpack(KEYS)
local conversation_id, run_prefix = ARGV[1], ARGV[3]
local conversation_room = 'conversation:' .. conversation_id

-- The refusal of who is not a member, or nil. A conversation by invitation looks as if it did not exist.
local function stranger(user_id)
  if redis.call('HEXISTS', members, user_id) == 1 then return nil end
  return {redis.call('HGET', meta, 'access') == 'open' and 'not_a_member' or 'unknown_conversation'}
end

-- Somebody was handed the entry `seq` of the life `epoch`, written at `ts`. When the log ends before it, or with
-- another one in its place, the log's end has been lost (a torn file, a failover). Then it begins a new life, so that
-- no position stands for two different entries; nodes and devices begin anew.
local function begin_life(epoch)
  redis.call('HSET', meta, 'epoch', epoch)
  publish('conversation:reset', conversation_room, string.format('{"conversation_id":%s,"epoch":"%s"}',
    cjson.encode(conversation_id), epoch))
end

-- Append one entry, publish it, and drop what is older than the retention (0: keep all).
-- XADD comes first: should it fail, nothing has been changed yet.
local function append_entry(type, data, sent_field)
  local known = redis.call('HMGET', meta, 'seq', 'epoch', 'first', 'retention')
  local seq, epoch = tonumber(known[1]) + 1, known[2]
  local ts = now()
  local envelope = string.format('{"v":1,"conversation_id":%s,"epoch":"%s","seq":%d,"type":"%s","ts":"%s","data":%s}',
    cjson.encode(conversation_id), epoch, seq, type, ts, data)
  redis.call('XADD', log, string.format('%d-0', seq), 'e', envelope, 'k', sent_field or '')
  redis.call('HSET', meta, 'seq', seq, 'ts', ts)
  local first, retention = tonumber(known[3]), tonumber(known[4])
  if retention > 0 and seq - first + 1 > retention then
    local keep_from = seq - retention + 1
    -- A send is remembered exactly as long as its entry is.
    for _, old in ipairs(redis.call('XRANGE', log, '-', string.format('%d-0', keep_from - 1))) do
      if old[2][4] ~= '' then redis.call('HDEL', sent, old[2][4]) end
    end
    redis.call('XTRIM', log, 'MINID', string.format('%d-0', keep_from))
    redis.call('HSET', meta, 'first', keep_from)
  end
  redis.call('HINCRBY', stats, 'entries', 1)
  publish('conversation:entry', conversation_room, envelope)
  return seq, epoch, ts
end

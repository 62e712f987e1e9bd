-- Drop what is kept no longer: entries, by count and age, and the results of requests, by age. Some of it: `at_most` entries
-- are looked at. What an unfinished run or an open question needs stays.
--   retention       how many entries are kept, 0: all
--   entries_kept_ms, results_kept_ms  how long they are kept, 0: for ever
--   since_ms        a conversation that was swept after that is left alone
--   has_files       '1': there is a storage of files
--   archives        '1': entries are not dropped; they are named in the reply, to be archived
-- Returns ok: more ('1' if there is more to drop), dropped, forgotten (how many entries, and results), first,
-- keep_from (entries from the one up to below the other are to be archived).
-- keys: conversation
-- include: entry
local retention, entries_kept_ms, results_kept_ms, since_ms, at_most, has_files, archives = unpack(ARGV)
local known = redis.call('HMGET', meta, 'seq', 'first', 'retention', 'results_from', 'asked_seq', 'rewrite', 'message_seq')
local at = redis.call('ZSCORE', swept, conversation_id)
if not known[1] then
  redis.call('ZREM', swept, conversation_id)
  if archives == '1' then redis.call('ZADD', gone, 0, conversation_id) end
  if has_files == '1' then redis.call('ZADD', files_due, 0, conversation_id .. ' *') end
  return {'ok', 'more', '0', 'dropped', 0, 'forgotten', 0, 'first', 0, 'keep_from', 0}
end
if at and tonumber(at) > tonumber(since_ms) then return {'ok', 'more', '0', 'dropped', 0, 'forgotten', 0, 'first', 0, 'keep_from', 0} end

local head, first, now_ms = tonumber(known[1]), tonumber(known[2]), milliseconds()
local limit = tonumber(at_most)
local counted = archives == '1' and '0' or retention
if known[3] ~= counted then redis.call('HSET', meta, 'retention', counted) end

-- The first seq from `from` to `to` whose entry is not older than `kept_ms`.
local function first_kept(from, to, kept_ms, each)
  local before = iso_of(now_ms - kept_ms)
  for _, entry in ipairs(stored_entries(from, to)) do
    if string.match(entry.text, '"ts":"([^"]*)"') >= before then return tonumber(entry.seq) end
    if each then each(entry) end
  end
  return to + 1
end

-- Write the log again: Redis keeps the bytes of what was deleted from a stream until all that was stored with it is gone.
local function rewrite_log()
  local written = log .. ':rewritten'
  redis.call('UNLINK', written)
  for _, item in ipairs(redis.call('XRANGE', log, '-', '+')) do redis.call('XADD', written, item[1], unpack(item[2])) end
  if redis.call('EXISTS', written) == 1 then
    local still_ms = redis.call('PTTL', log)
    redis.call('RENAME', written, log)
    if still_ms > 0 then redis.call('PEXPIRE', log, still_ms) end
  else
    redis.call('XTRIM', log, 'MAXLEN', 0)
  end
end

local results_from = math.max(tonumber(known[4] or '1'), first)
local results_to, forgotten = results_from, 0
if results_kept_ms ~= '0' then
  results_to = first_kept(results_from, math.min(head, results_from + limit - 1), tonumber(results_kept_ms), function(entry)
    forget_result(entry)
    forgotten = forgotten + 1
  end)
  redis.call('HSET', meta, 'results_from', results_to)
end

local keep_from = first
if retention ~= '0' then keep_from = math.max(first, head - tonumber(retention) + 1) end
if entries_kept_ms ~= '0' then
  keep_from = math.max(keep_from, first_kept(first, math.min(head, first + limit - 1), tonumber(entries_kept_ms)))
end
for _, run_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do
  keep_from = math.min(keep_from, tonumber(redis.call('HGET', run_prefix .. run_id, 'input_seq')))
end
if redis.call('EXISTS', interrupts) == 1 then keep_from = math.min(keep_from, tonumber(known[5])) end
-- The last message may be edited, which hides what came of it: the archive would not know.
if archives == '1' and known[7] then keep_from = math.min(keep_from, tonumber(known[7])) end
keep_from = math.max(keep_from, first)
local wanted = keep_from - first
if archives ~= '1' then keep_from = math.min(keep_from, first + limit) end
if archives == '1' then
  if wanted < ARCHIVED_AT_LEAST then keep_from, wanted = first, 0 end
elseif keep_from > first then
  drop_entries(first, keep_from)
  redis.call('HSET', meta, 'first', keep_from)
end

if known[6] then
  redis.call('HDEL', meta, 'rewrite')
  if redis.call('XLEN', log) <= REWRITTEN_ENTRIES then rewrite_log() end
end

local more = (archives == '1' and wanted > 0) or wanted >= limit or results_to - results_from >= limit
-- Also when `since_ms` is this very millisecond: what was swept is later than it.
if not more then redis.call('ZADD', swept, math.max(now_ms, tonumber(since_ms) + 1), conversation_id) end
return {'ok', 'more', more and '1' or '0', 'dropped', archives == '1' and 0 or keep_from - first, 'forgotten', forgotten,
  'first', first, 'keep_from', keep_from}

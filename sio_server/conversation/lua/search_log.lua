-- Look through a part of the log for what may contain a text, from the newest entry down, for members only.
--   needle          a part of the text in small letters; entries without it are left out, unless they have letters with
--                   marks, which may be those of the needle. '': all may contain it
--   before_seq      entries below it are looked at, or ''
--   before_ts       otherwise: entries that are older
--   limit           entries to look at
-- It ends early after SEARCHED_BYTES, but looks at one entry at least. Entries that were deleted, or are not current any
-- more, are left out, and so is whatever is no message and no final entry.
-- Returns ok: title, from (seq of the last entry looked at; '' if there was none), ts (of that one), first, looked (how many
-- were looked at), entries (JSON, ..., newest first); or an error code.
-- keys: conversation
-- include: at_time
local user_id, needle, before_seq, before_ts, limit = unpack(ARGV)
local CHUNK = 20
local is_searched = {message = true, answer = true, interrupt = true, stopped = true}

-- UTF-8 of what folding.py makes other letters of: Latin from U+00C0 to U+024F, combining marks (U+0300 on), Latin
-- Extended Additional, signs and ligatures (U+2100 on, U+FB00 on), Hebrew points, Arabic vowels.
local MARKED = {'[\195-\201\204\205]', '\225[\184-\187]', '\226[\132\133]', '\239\172', '\214[\145-\191]', '\215[\129-\135]',
  '\217[\139-\159\176]'}

local function may_contain(text)
  if string.find(string.lower(text), needle, 1, true) then return true end
  -- Most entries have none of these bytes at all, which one look tells.
  if not string.find(text, '[\195-\239]') then return false end
  for _, marked in ipairs(MARKED) do
    if string.find(text, marked) then return true end
  end
  return false
end

local known = redis.call('HMGET', meta, 'first', 'seq', 'title')
if not known[1] then return {'unknown_conversation'} end
local refusal = refuse_non_member(user_id)
if refusal then return refusal end

local first, head = tonumber(known[1]), tonumber(known[2])
local below = before_seq ~= '' and tonumber(before_seq) or first_at(before_ts, first, head)
local to = math.min(below - 1, head)
local lowest = math.max(first, to - limit + 1)
local any_hidden = redis.call('EXISTS', hidden) == 1
local found, bytes, looked, from, ts = {}, 0, 0, '', ''
while to >= lowest and bytes < SEARCHED_BYTES do
  local start = math.max(lowest, to - CHUNK + 1)
  local entries = stored_entries(start, to)
  for i = #entries, 1, -1 do
    local text = entries[i].text
    looked, bytes = looked + 1, bytes + #text
    if is_searched[string.match(text, '"type":"([^"]*)"')] and may_contain(text)
      and not (any_hidden and redis.call('HEXISTS', hidden, entries[i].seq) == 1) then
      found[#found + 1] = text
    end
  end
  from = string.format('%.0f', start)
  ts = entries[1] and string.match(entries[1].text, '"ts":"([^"]*)"') or ts
  to = start - 1
end
return {'ok', 'title', known[3] or '', 'from', from, 'ts', ts, 'first', known[1], 'looked', looked, 'entries', found}

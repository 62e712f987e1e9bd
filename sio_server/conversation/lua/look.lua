-- What a member may know of a conversation at this moment, apart from its entries.
-- ARGV: 4 user id, 5 how many delivery marks to show
-- Returns {'ok', meta, role, reads, draft or '', unfinished run id or '', its record, its text so far, its updates,
-- ids of open interrupts, the entry that asks them or '', delivery marks with their seqs, highest first} or {error code}.
local refusal = stranger(ARGV[4])
if refusal then return refusal end
local run_id = redis.call('ZRANGE', unfinished, 0, 0)[1] or ''
local record, text, updates = {}, '', {}
if run_id ~= '' then
  record = redis.call('HGETALL', run_prefix .. run_id)
  text = redis.call('GET', run_prefix .. run_id .. ':text') or ''
  updates = redis.call('LRANGE', run_prefix .. run_id .. ':updates', 0, -1)
end
local open, asked = redis.call('HKEYS', interrupts), ''
if #open > 0 then
  local seq = redis.call('HGET', meta, 'asked_seq') .. '-0'
  local entry = redis.call('XRANGE', log, seq, seq)[1]
  asked = entry and entry[2][2] or ''
end
return {'ok', redis.call('HGETALL', meta), redis.call('HGET', members, ARGV[4]), redis.call('HGETALL', reads),
  redis.call('HGET', drafts, ARGV[4]) or '', run_id, record, text, updates, open, asked,
  redis.call('ZREVRANGE', delivered, 0, tonumber(ARGV[5]) - 1, 'WITHSCORES')}

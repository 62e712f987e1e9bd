-- What a member may know of a conversation at this moment, apart from its entries.
-- Returns ok: meta and reads (field, value, ...), role, draft (JSON or ''), the first unfinished run: run_id (or ''), its
-- record (field, value, ...), its text so far and its updates; interrupts (ids of the open ones), asked (the entry that
-- asks them, or ''), delivered (mark, seq, ..., highest first); or an error code.
-- keys: conversation
-- include: entry
local user_id = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local run_id = redis.call('ZRANGE', unfinished, 0, 0)[1] or ''
local record, text, updates = {}, '', {}
if run_id ~= '' then
  record = redis.call('HGETALL', run_prefix .. run_id)
  text = redis.call('GET', run_prefix .. run_id .. ':text') or ''
  updates = redis.call('LRANGE', run_prefix .. run_id .. ':updates', 0, -1)
end
local open = redis.call('HKEYS', interrupts)
local asked = #open > 0 and read_entry(redis.call('HGET', meta, 'asked_seq')) or ''
return {'ok', 'meta', redis.call('HGETALL', meta), 'role', redis.call('HGET', members, user_id),
  'reads', redis.call('HGETALL', reads), 'draft', redis.call('HGET', drafts, user_id) or '', 'run_id', run_id,
  'record', record, 'text', text, 'updates', updates, 'interrupts', open, 'asked', asked,
  'delivered', redis.call('ZREVRANGE', delivered, 0, MAX_DELIVERED - 1, 'WITHSCORES')}

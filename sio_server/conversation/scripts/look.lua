-- What a member may know of a conversation at this moment, apart from its entries. ARGV: 3 user id, 4 prefix of runs
-- Returns {'ok', meta, role, reads, draft or '', unfinished run id or '', its record, its text so far} or {error code}.
local refusal = stranger(ARGV[3])
if refusal then return refusal end
local run_id = redis.call('ZRANGE', unfinished, 0, 0)[1] or ''
local record, text = {}, ''
if run_id ~= '' then
  record = redis.call('HGETALL', ARGV[4] .. run_id)
  text = redis.call('GET', ARGV[4] .. run_id .. ':text') or ''
end
return {'ok', redis.call('HGETALL', meta), redis.call('HGET', members, ARGV[3]), redis.call('HGETALL', reads),
  redis.call('HGET', drafts, ARGV[3]) or '', run_id, record, text}

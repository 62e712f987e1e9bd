-- Show what a run has said and reported since the last batch, and keep it for devices that join later.
--   batch           counts the batches of this attempt from 1: one that came already changes nothing
--   parts           of the event (JSON array): {part, text}, and kind, speaker, data of those that begin, cut
--   heads           of the parts that begin, in the order of their numbers (JSON array of JSON objects as strings)
--   reports         (JSON array of JSON objects as strings)
-- Returns ok or stale.
-- keys: conversation
-- include: run
local token, run_id, attempt, batch, parts, heads, reports = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
local record = run_prefix .. run_id
if tonumber(redis.call('HGET', record, 'batch')) ~= tonumber(batch) - 1 then return {'ok'} end
redis.call('HSET', record, 'batch', batch)
for _, head in ipairs(cjson.decode(heads)) do redis.call('RPUSH', record .. ':parts', head) end
for _, written in ipairs(cjson.decode(parts)) do
  if written.text ~= '' then redis.call('APPEND', part_text(record, written.part), written.text) end
  if written.cut then
    local head = redis.call('LINDEX', record .. ':parts', written.part)
    redis.call('LSET', record .. ':parts', written.part, with_fields(head, 'cut', true))
  end
end
local reported = cjson.decode(reports)
for _, report in ipairs(reported) do redis.call('RPUSH', record .. ':reports', report) end
redis.call('LTRIM', record .. ':reports', -MAX_REPORTS, -1)
publish_next('run:written', 'run_id', run_id, 'version', tonumber(attempt), 'parts', raw(parts),
  'reports', raw('[' .. table.concat(reported, ',') .. ']'))
return {'ok'}

-- Show what a run has said and reported since the last batch, and keep it for devices that join later.
--   batch           counts the batches of this attempt from 1: one that came already changes nothing
--   parts           of the event (JSON array): {part, text}, and kind, speaker, data of those that begin, cut
--   heads           of the parts that begin, in the order of their numbers (JSON array of JSON objects as strings)
--   reports         (JSON array of JSON objects as strings)
-- Returns ok: batch (the last that is there: less when a failover has lost some); or stale.
-- keys: conversation
-- include: run
local token, run_id, attempt, batch, parts, heads, reports = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
return {'ok', 'batch', add_batch(run_id, attempt, batch, parts, heads, reports)}

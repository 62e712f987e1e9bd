-- The checkpoints of this attempt are the run's from now on, and its graph begins to work.
--   checkpoint      the id of the checkpoint from which it continues, or ''
--   checkpoints, written  a thread of the plain saver (its key) and its latest checkpoint, sent in the same pipeline: it
--                   has to be there. Or ''
--   shared          1 when other suspects have been at work on this node for a while (see `dialog/suspects.py`)
-- Returns ok: lost (how many attempts lost their node at this checkpoint, one after another), shared (1 when the last of
-- them may have lost it to another run); stale; or unwritten. Again with the same token and checkpoint it only notes `shared`.
-- keys: conversation
-- include: run
local token, run_id, thread_id, checkpoint, checkpoints, written, shared = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
if checkpoints ~= '' and redis.call('HGET', checkpoints, '') ~= written then return {'unwritten'} end
local record = run_prefix .. run_id
local known = redis.call('HMGET', record, 'begun', 'continues', 'lost')
local before, lost = known[1], known[3] or ''
if before ~= token and known[2] ~= checkpoint then
  -- The attempt before has made progress: of the lost ones only that one was lost here.
  lost = before and string.match(lost, ' ' .. string.gsub(before, '%W', '%%%0') .. '[!?]') or ''
end
redis.call('HSET', record, 'thread', thread_id, 'begun', token, 'continues', checkpoint, 'lost', lost)
if shared == '1' then redis.call('HSET', record, 'shared', token) end
local _, count = string.gsub(lost, ' ', '')
return {'ok', 'lost', count, 'shared', string.sub(lost, -1) == '?' and 1 or 0}

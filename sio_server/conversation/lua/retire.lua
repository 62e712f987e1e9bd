-- An owner that lost its lease, and works on, may have written checkpoints since: have its thread deleted, unless the run
-- continues from it. That its node was lost is taken back. Returns ok.
-- keys: conversation
-- include: bell
local run_id, thread_id, token = unpack(ARGV)
local record = run_prefix .. run_id
local known = redis.call('HMGET', record, 'thread', 'begun', 'lost')
if known[1] ~= thread_id and redis.call('HGET', meta, 'thread') ~= thread_id then
  redis.call('SADD', retired, thread_id)
  -- No run of a conversation that was deleted will name it: a node is told to look.
  if redis.call('EXISTS', meta) == 0 then
    ring(string.match(meta, ':conv:(.*):meta$'))
  end
end
if known[2] == token then redis.call('HSET', record, 'begun', '') end
if known[3] then
  local kept = string.gsub(known[3], ' ' .. string.gsub(token, '%W', '%%%0') .. '[!?]', '')
  redis.call('HSET', record, 'lost', kept)
end
return {'ok'}

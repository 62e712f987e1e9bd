-- Let go of a run that has not ended, and ring its bell, so that another node takes it at once.
-- Returns ok or stale.
-- keys: conversation
-- include: run once
local token = unpack(ARGV)
return once(function()
  if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
  local run_id = redis.call('HGET', lease, 'run_id')
  redis.call('HSET', run_prefix .. run_id, 'status', 'queued', 'node', '')
  redis.call('DEL', lease)
  publish_run(run_id)
  ring(conversation_id)
  return {'ok'}
end)

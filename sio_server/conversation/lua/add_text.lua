-- Add to a run's text so far, and show it. `offset` and `length` count characters.
-- Returns ok or stale. The same text at the same offset again changes nothing.
-- keys: conversation
-- include: entry
local token, run_id, attempt, offset, length, text = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
local record = run_prefix .. run_id
if redis.call('HGET', record, 'chars') ~= offset then return {'ok'} end
redis.call('APPEND', record .. ':text', text)
redis.call('HINCRBY', record, 'chars', length)
local written = {'run_id', run_id, 'version', tonumber(attempt), 'part', 0, 'text', text}
if offset == '0' then
  local speaker = redis.call('HGET', meta, 'agent_name')
  for _, item in ipairs({'kind', 'text', 'speaker', speaker or ''}) do written[#written + 1] = item end
end
publish_next('run:written', unpack(written))
return {'ok'}

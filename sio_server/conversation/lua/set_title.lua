-- A run gives the conversation a title (`title`), if it has none, or one that an agent has given.
-- Returns ok; or stale.
-- keys: conversation
-- include: run
local token, title = unpack(ARGV)
if redis.call('HGET', lease, 'token') ~= token then return {'stale'} end
local known = redis.call('HMGET', meta, 'title', 'titled', 'graph', 'agent_name')
if title == known[1] or ((known[1] or '') ~= '' and known[2] ~= known[1]) then return {'ok'} end
append_entry('conversation_renamed', object('user_id', 'agent:' .. (known[3] or 'agent'), 'name', known[4] or 'Agent',
  'title', title))
redis.call('HSET', meta, 'title', title, 'titled', title)
return {'ok'}

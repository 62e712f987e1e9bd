-- How an open interrupt may be answered: its form never changes.
-- Returns ok: form (JSON, or '' when there is no such open interrupt, or not for this user: `respond.lua` refuses then).
-- keys: conversation
-- include: entry
local user_id, interrupt_id = unpack(ARGV)
local role = redis.call('HGET', members, user_id)
if not role or (role ~= 'owner' and redis.call('HGET', meta, 'approvals') == 'owner') then return {'ok', 'form', ''} end
return {'ok', 'form', redis.call('HGET', forms, interrupt_id) or ''}

-- How an open interrupt may be answered: its form never changes.
-- Returns ok: form (JSON, or '' when there is no such open interrupt, or not for this user: `respond.lua` refuses then).
-- keys: conversation
-- include: entry
local user_id, interrupt_id = unpack(ARGV)
if refuse_non_member(user_id) then return {'ok', 'form', ''} end
if redis.call('HGET', meta, 'approvals') == 'owner' and not may_as_owner(user_id) then return {'ok', 'form', ''} end
return {'ok', 'form', redis.call('HGET', forms, interrupt_id) or ''}

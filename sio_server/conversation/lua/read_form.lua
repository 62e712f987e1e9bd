-- How an open interrupt may be answered: its form never changes.
-- Returns ok: form (JSON, or '' when there is no such open interrupt).
-- keys: conversation
-- include: entry
local interrupt_id = unpack(ARGV)
return {'ok', 'form', redis.call('HGET', forms, interrupt_id) or ''}

-- Is a user invited?
-- Returns ok: invited ('1' or '0'), title ('' if not).
-- keys: conversation
-- include: entry
local user_id = unpack(ARGV)
if not invited_until(user_id) then return {'ok', 'invited', '0', 'title', ''} end
return {'ok', 'invited', '1', 'title', redis.call('HGET', meta, 'title') or ''}

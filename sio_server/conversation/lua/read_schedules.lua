-- Returns ok: schedules (id, "<due ms, 0: no more> <record, JSON>", ...); or an error code.
-- keys: conversation
-- include: entry
local user_id = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
return {'ok', 'schedules', redis.call('HGETALL', schedules)}

-- Write down that a user is to be deleted. For one who is being deleted already, what was written down first stays.
-- Returns ok: how (what is to be done, JSON).
-- durable
local user_id, how = unpack(ARGV)
local deletions = unpack(KEYS)
local found = redis.call('HGET', deletions, user_id) or how
redis.call('HSET', deletions, user_id, found) -- by a repetition as well: see `_request.lua`
return {'ok', 'how', found}

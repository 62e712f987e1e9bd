-- Remove what is kept of a user who has been taken out of all conversations. Sessions that have begun since, with a newer
-- token, are not those of the user who was deleted: they stay, as does the time until which tokens are refused.
--   refused_s   how long that time is kept; `revoke` has written it
-- Returns ok.
-- keys: user
-- durable
local refused_s = unpack(ARGV)
redis.call('DEL', devices, push, conversations, reserved, inviting, unlisted)
redis.call('EXPIRE', signed_out, refused_s) -- by a repetition as well: see `_request.lua`
return {'ok'}

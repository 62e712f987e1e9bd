-- The operator refuses all tokens of a user, or of one device, that were issued until now, and ends the sessions.
-- ARGV: 7 rooms to tell (JSON), 8 device id, or '*' for all
-- Returns {'ok', how many sessions there were}.
local device_id = ARGV[8]
local ended = end_sessions(device_id)
-- A device that is signed out is no longer listed; of the user all are kept, with the names that people gave them.
if device_id ~= '*' then redis.call('HDEL', devices, device_id) end
redis.call('HSET', signed_out, device_id, string.format('%d null', milliseconds()))
if #ended > 0 then publish('session:ended', ended, '{"reason":"token_revoked","by":null}') end
tell_ended(ARGV[7])
return {'ok', #ended}

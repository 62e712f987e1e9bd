-- A device gets another name, which it keeps whatever it calls itself later.
-- ARGV: 7 the asking session, 8 device id, 9 name. Returns {'ok'}, {'session_ended'} or {error code}.
if redis.call('HEXISTS', sessions, ARGV[7]) == 0 then return {'session_ended'} end
local known = device(ARGV[8])
if not known then return {'unknown_device'} end
redis.call('HSET', devices, ARGV[8], string.format('%d 1 ', known.seen) .. ARGV[9])
tell_devices()
return {'ok'}

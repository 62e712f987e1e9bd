-- An endpoint is gone: the device is sent nothing more, unless it has another one by now.
-- Returns ok.
-- keys: user
local device_id, endpoint = unpack(ARGV)
local known = redis.call('HGET', push, device_id)
if known and string.find(known, '"' .. endpoint .. '"', 1, true) then redis.call('HDEL', push, device_id) end
return {'ok'}

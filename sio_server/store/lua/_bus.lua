-- Publish on the bus, in the form of python-socketio's Redis manager.
-- `room` is a name, or a list of names that is not empty; `payload` is JSON text.
local function publish(event, room, payload)
  redis.call('PUBLISH', BUS, '{"method":"emit","event":"' .. event .. '","data":[' .. payload
    .. '],"binary":false,"namespace":"/","room":' .. cjson.encode(room)
    .. ',"skip_sid":null,"callback":null,"host_id":"log"}')
end

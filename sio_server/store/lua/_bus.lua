-- Publish on the bus, on a channel with the hash tag of the script's own keys. A message is `<head>\n<frame>`: the fields
-- of its head are read by nodes, the frame is the finished Socket.IO packet for clients
-- (docs/decisions/0021-channels-and-ready-frames.md). Sharded pub/sub where there is such a thing, from Redis 7 on.
local publish_command = (redis.REDIS_VERSION_NUM or 0) >= 0x00070000 and 'SPUBLISH' or 'PUBLISH'

local function publish_message(channel, message)
  redis.call(publish_command, channel, message)
end

-- `payload` is JSON text.
local function publish(channel, head, event, payload)
  publish_message(channel, head .. '\n42["' .. event .. '",' .. payload .. ']')
end

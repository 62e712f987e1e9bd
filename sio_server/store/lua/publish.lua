-- Publish a message on the bus, with the command that scripts publish with. The only key is the channel. Returns ok.
-- include: bus
local message = unpack(ARGV)
publish_message(KEYS[1], message)
return {'ok'}

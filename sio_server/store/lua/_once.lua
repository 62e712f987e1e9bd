-- Put around the steps whose repetition would do something else, or answer something else: redis-py repeats a command
-- whose reply it did not get, and then the first reply is given again. The last key is that of this one call.
local this_call = KEYS[#KEYS]
local first_reply = redis.call('GET', this_call)
if first_reply then return cjson.decode(first_reply) end
local call_id = string.match(this_call, '[^:]+$')
local function step()

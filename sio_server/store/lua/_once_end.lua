end
local reply = step()
-- A refusal has changed nothing.
if reply[1] == 'ok' or reply[1] == 'taken' then redis.call('SET', this_call, cjson.encode(reply), 'PX', 10000) end
return reply

-- A node sends a command again whose reply was lost. A step whose repetition would do, or answer, something else
-- runs as `return once(function(call_id) ... end)`: the repetition gets the first reply, which is kept for some
-- seconds under a key of this one call.
local function once(step)
  local this_call = KEYS[#KEYS]
  local first_reply = redis.call('GET', this_call)
  if first_reply then
    -- Replicas are waited for by what this connection has written; another one may have written this.
    redis.call('SET', this_call, first_reply, 'PX', CALL_KEPT_MS)
    return cjson.decode(first_reply)
  end
  local reply = step(string.match(this_call, '[^:]+$'))
  -- A refusal has changed nothing.
  if reply[1] == 'ok' then redis.call('SET', this_call, cjson.encode(reply), 'PX', CALL_KEPT_MS) end
  return reply
end

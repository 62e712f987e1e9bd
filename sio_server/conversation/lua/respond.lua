-- A member answers an interrupt; the first answer wins. When all are answered the dialog continues in a new run.
--   given, value    the answer as the graph gets it, and as the log shows it (JSON)
--   by, person      who gives it, and the same as the graph is told of it (JSON)
--   run_id          used if this was the last open interrupt
-- Returns ok: ack (JSON); already_resolved: ack (JSON) of the answer that won; or an error code.
-- keys: conversation
-- include: run request
local user_id, interrupt_id, given, value, by, person, run_id = unpack(ARGV)
acting_session = cjson.decode(by).session_id
local repeated = first_reply()
if repeated then return repeated end
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local before = redis.call('HGET', resolved, interrupt_id)
if before then
  redis.call('HSET', resolved, interrupt_id, before) -- as it is: see `_request.lua`
  return {'already_resolved', 'ack', before}
end
local asked_as = redis.call('HGET', interrupts, interrupt_id)
if not asked_as then return {'unknown_interrupt'} end
if redis.call('HGET', meta, 'approvals') == 'owner' and not may_as_owner(user_id) then return {'not_allowed'} end
redis.call('HDEL', interrupts, interrupt_id)
redis.call('HDEL', forms, interrupt_id)
redis.call('HSET', answers, asked_as, given)
local all_answered = redis.call('HLEN', interrupts) == 0
local outcome = object('outcome', 'answered', 'value', raw(value), 'by', raw(by), 'run_id', all_answered and run_id or null)
local seq = settle(interrupt_id, outcome)
local ack = with_fields(outcome, 'conversation_id', conversation_id, 'interrupt_id', interrupt_id, 'seq', seq)
redis.call('HSET', resolved, interrupt_id, ack)
if all_answered then
  local all, flat = {}, redis.call('HGETALL', answers)
  for i = 1, #flat, 2 do all[#all + 1] = cjson.encode(flat[i]) .. ':' .. flat[i + 1] end
  redis.call('DEL', answers)
  local turn = redis.call('HMGET', meta, 'asked_in', 'asked_base', 'asked_for')
  -- Before what was written since: it belongs to an earlier turn.
  begin_run(run_id, 'resume', turn[3], turn[3], 'person', person, 'source', turn[1], 'base', turn[2],
    'answers', '{' .. table.concat(all, ',') .. '}')
end
return keep_reply({'ok', 'ack', ack})

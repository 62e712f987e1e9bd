-- A member answers an interrupt; the first answer wins. When all are answered the run goes on as a new one.
-- ARGV: 4 user id, 5 interrupt id, 6 value (JSON), 7 who (JSON), 8 digest of user, device and value, 9 run id to use
-- Returns {'ok', ack (JSON)}, {'already_resolved', event (JSON)} or {error code}.
local refusal = stranger(ARGV[4])
if refusal then return refusal end
local id = ARGV[5]
local before = redis.call('HGET', resolved, id)
if before then
  if string.sub(before, 1, 40) == ARGV[8] then return {'ok', string.sub(before, 42)} end
  return {'already_resolved', string.sub(before, 42)}
end
local asked_as = redis.call('HGET', interrupts, id)
if not asked_as then return {'unknown_interrupt'} end
if redis.call('HGET', meta, 'approvals') == 'owner' and redis.call('HGET', members, ARGV[4]) ~= 'owner' then
  return {'not_allowed'}
end
redis.call('HDEL', interrupts, id)
redis.call('HSET', answers, asked_as, ARGV[6])
local goes_on = redis.call('HLEN', interrupts) == 0
local run_id = goes_on and cjson.encode(ARGV[9]) or 'null'
local how = string.format('"outcome":"answered","value":%s,"by":%s,"run_id":%s', ARGV[6], ARGV[7], run_id)
local seq = settle(id, how)
local ack = string.format('{"conversation_id":%s,"interrupt_id":%s,"seq":%d,%s}', cjson.encode(conversation_id),
  cjson.encode(id), seq, how)
redis.call('HSET', resolved, id, ARGV[8] .. ' ' .. ack)
if goes_on then
  local given, flat = {}, redis.call('HGETALL', answers)
  for i = 1, #flat, 2 do given[#given + 1] = cjson.encode(flat[i]) .. ':' .. flat[i + 1] end
  redis.call('DEL', answers)
  local turn = redis.call('HMGET', meta, 'asked_in', 'asked_base', 'asked_for')
  -- Before what was written since: it belongs to an earlier turn.
  begin_run(ARGV[9], 'resume', turn[3], turn[3], 'source', turn[1], 'base', turn[2],
    'answers', '{' .. table.concat(given, ',') .. '}')
end
return {'ok', ack}

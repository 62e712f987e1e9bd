-- A user's message: membership, dedupe, next seq, log, run queue and bus in one step.
-- ARGV: 3 user id, 4 data (JSON), 5 client_id, 6 digest of the body, 7 run id to use,
--       8 '1' if the agent is mentioned, 9 prefix of run records
-- Returns {'ok', ack (JSON), '1' if it was new} or {error code}.
local user_id, data, client_id, digest, run_id, mentioned = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]


-- Dedupe comes before membership: who has left since still gets the ack of what was accepted.
local field = user_id .. ' ' .. client_id
local before = redis.call('HGET', sent, field)
if before then
  if string.sub(before, 1, 40) ~= digest then return {'client_id_reused'} end
  return {'ok', string.sub(before, 42), '0'}
end

local refusal = stranger(user_id)
if refusal then return refusal end

local agent = redis.call('HGET', meta, 'agent')
local answered = agent == 'always' or (agent == 'mention' and mentioned == '1')
local seq, epoch, ts = append_entry('message', data, field)
local ack = string.format('{"conversation_id":%s,"epoch":"%s","seq":%d,"ts":"%s","run_id":%s}',
  cjson.encode(conversation_id), epoch, seq, ts, answered and cjson.encode(run_id) or 'null')
redis.call('HSET', sent, field, digest .. ' ' .. ack)

if answered then
  -- The run is on record before anyone may start it.
  redis.call('HSET', ARGV[9] .. run_id, 'conversation_id', conversation_id, 'input_seq', seq,
    'status', 'pending', 'attempt', 0, 'chars', 0)
  redis.call('ZADD', unfinished, seq, run_id)
  redis.call('XADD', runs, '*', 'conversation_id', conversation_id)
  redis.call('HINCRBY', stats, 'runs', 1)
end
return {'ok', ack, '1'}

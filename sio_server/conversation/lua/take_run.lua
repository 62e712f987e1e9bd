-- Take the lease of a conversation and its first unfinished run.
-- ARGV: 4 node id, 5 lease ms, 6 node name, 7 fencing token held already or '', 8 the run whose attempt
-- under it failed or ''
-- Returns {'idle'} when nothing is to be done, {'held', ms} while another holds the lease for so long, or {'taken',
-- fencing token, run id, attempt, input seq, epoch, envelope of the input or '', kind, failures, thread to begin
-- from or '', thread the first attempt began from or '', answers (JSON), seq of the entry it replaces or '', graph, agent's name}.
local first = redis.call('ZRANGE', unfinished, 0, 0)
if not first[1] then return {'idle'} end
local holder = redis.call('HGET', lease, 'token')
if holder and holder ~= ARGV[7] then return {'held', redis.call('PTTL', lease)} end
-- The failed run may have been stopped since: then it is not the one that is taken, and nothing is counted.
if ARGV[8] ~= '' and redis.call('ZSCORE', unfinished, ARGV[8]) then
  redis.call('HINCRBY', run_prefix .. ARGV[8], 'failures', 1)
end
local run_id = first[1]
local record = run_prefix .. run_id
local known = redis.call('HMGET', record, 'kind', 'input_seq', 'source', 'chars', 'thread', 'answers', 'replaces')

if known[1] == 'message' and redis.call('HLEN', interrupts) > 0 then
  -- What was written before the question was asked does not answer it: it waits with the question.
  local newest = redis.call('ZREVRANGE', unfinished, 0, 0, 'WITHSCORES')[2]
  if tonumber(newest) < tonumber(redis.call('HGET', meta, 'asked_seq')) then return {'idle'} end
  supersede_interrupts()
end

-- No token is ever given twice, also when the end of the log has been lost, and the count with it.
local token = string.format('%d.%s', redis.call('HINCRBY', meta, 'fence', 1), call_id)
redis.call('DEL', lease)
redis.call('HSET', lease, 'owner', ARGV[4], 'token', token, 'run_id', run_id)
redis.call('PEXPIRE', lease, ARGV[5])
local attempt = redis.call('HINCRBY', record, 'attempt', 1)
local source = known[3]
if not source then
  source = redis.call('HGET', meta, 'thread') or ''
  redis.call('HSET', record, 'source', source, 'base', source)
end
local life = redis.call('HGET', meta, 'epoch')
local attempts = (redis.call('HGET', record, 'attempts') or '') .. ' ' .. life .. '#' .. token
redis.call('HSET', record, 'status', 'running', 'node', ARGV[4], 'token', token, 'chars', 0, 'attempts', attempts)
redis.call('DEL', record .. ':text')
if attempt > 1 then withdraw(run_id, attempt - 1, known[4]) end
publish('run:started', conversation_room, string.format(
  '{"conversation_id":%s,"run_id":"%s","attempt":%d,"input_seq":%s,"node":%s}',
  cjson.encode(conversation_id), run_id, attempt, known[2], cjson.encode(ARGV[6])))
local input = redis.call('XRANGE', log, known[2] .. '-0', known[2] .. '-0')[1]
local who = redis.call('HMGET', meta, 'epoch', 'graph', 'agent_name')
return {'taken', token, run_id, attempt, known[2], who[1], input and input[2][2] or '', known[1],
  redis.call('HGET', record, 'failures'), known[5] or source, source, known[6] or '', known[7] or '',
  who[2], who[3]}

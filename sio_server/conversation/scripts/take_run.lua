-- Take the lease of a conversation and its oldest unfinished run. ARGV: 3 node id, 4 lease ms, 5 prefix of runs, 6 node name
-- Returns {'idle'} when nothing is unfinished, {'held'} while another holds the lease, or
-- {'taken', fencing token, run id, attempt, input seq, epoch, envelope of the input or ''}.
local run_id = redis.call('ZRANGE', unfinished, 0, 0)[1]
if not run_id then return {'idle'} end
if redis.call('EXISTS', lease) == 1 then return {'held'} end
local token = redis.call('HINCRBY', meta, 'fence', 1)
redis.call('HSET', lease, 'owner', ARGV[3], 'token', token)
redis.call('PEXPIRE', lease, ARGV[4])
local record = ARGV[5] .. run_id
local attempt = redis.call('HINCRBY', record, 'attempt', 1)
local input_seq = redis.call('HGET', record, 'input_seq')
redis.call('HSET', record, 'status', 'running', 'node', ARGV[3], 'token', token, 'chars', 0)
redis.call('DEL', record .. ':text')
-- A higher attempt tells devices to drop the text of the attempt before.
publish('run:started', conversation_room, string.format(
  '{"conversation_id":%s,"run_id":"%s","attempt":%d,"input_seq":%s,"node":%s}',
  cjson.encode(conversation_id), run_id, attempt, input_seq, cjson.encode(ARGV[6])))
local input = redis.call('XRANGE', log, input_seq .. '-0', input_seq .. '-0')[1]
return {'taken', token, run_id, attempt, input_seq, redis.call('HGET', meta, 'epoch'), input and input[2][2] or ''}

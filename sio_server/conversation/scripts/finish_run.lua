-- End a run with its one final entry and give the lease back. ARGV: 3 fencing token, 4 prefix of runs, 5 run id,
-- 6 status, 7 type of the entry, 8 data (JSON), 9 how long the record is kept (s)
-- Returns {'ok'} or {'stale'}; again with the same token it returns {'ok'} and changes nothing.
local record = ARGV[4] .. ARGV[5]
if not redis.call('ZSCORE', unfinished, ARGV[5]) then
  return {redis.call('HGET', record, 'token') == ARGV[3] and 'ok' or 'stale'}
end
if redis.call('HGET', lease, 'token') ~= ARGV[3] then return {'stale'} end
local seq = append_entry(ARGV[7], ARGV[8])
redis.call('HSET', record, 'status', ARGV[6], 'final_seq', seq)
redis.call('EXPIRE', record, ARGV[9])
redis.call('DEL', record .. ':text', lease)
redis.call('ZREM', unfinished, ARGV[5])
redis.call('HINCRBY', stats, 'runs_finished', 1)
publish('run:finished', conversation_room, string.format(
  '{"conversation_id":%s,"run_id":"%s","attempt":%s,"status":"%s","seq":%d}', cjson.encode(conversation_id),
  ARGV[5], redis.call('HGET', record, 'attempt'), ARGV[6], seq))
return {'ok'}

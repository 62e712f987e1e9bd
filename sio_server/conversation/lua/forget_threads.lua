-- Threads have been deleted: `thread_ids` is a JSON array. Returns ok.
-- keys: conversation
local thread_ids = unpack(ARGV)
for _, thread_id in ipairs(cjson.decode(thread_ids)) do redis.call('SREM', retired, thread_id) end
-- Others may have been left since.
if redis.call('EXISTS', retired) == 0 then redis.call('HDEL', meta, 'left_threads') end
return {'ok'}

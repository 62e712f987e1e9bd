-- The archived entry `seq` was deleted: nothing is left of its files (`file_ids`, a JSON array).
-- Returns ok.
-- keys: conversation
-- include: entry
-- durable
local seq, file_ids = unpack(ARGV)
local epoch = redis.call('HGET', meta, 'epoch')
if not epoch then return {'ok'} end
redis.call('HSET', meta, 'epoch', epoch) -- as it is: see `_request.lua`
drop_files_of(seq, cjson.decode(file_ids))
return {'ok'}

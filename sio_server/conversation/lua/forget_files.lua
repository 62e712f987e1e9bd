-- The archived entry `seq` was deleted: nothing is left of its files (`file_ids`, a JSON array).
-- Returns ok.
-- keys: conversation
-- include: entry
-- durable
local seq, file_ids = unpack(ARGV)
drop_files_of(seq, cjson.decode(file_ids))
return {'ok'}

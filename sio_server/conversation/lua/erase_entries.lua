-- Take a user out of entries: messages are deleted, other entries are replaced. One that has changed meanwhile is left.
--   messages        seqs of those that are deleted (JSON array)
--   as              what their data says of their author from now on (JSON object)
--   replaced        {seq, the digest of what it was, what it is from now on} of each other entry (JSON array)
--   data            of the entry that tells devices what was deleted, without it (JSON); `by`: who ends runs (JSON)
-- Returns ok: deleted (seqs), replaced (how many); or an error code.
-- keys: conversation
-- include: tombstone
-- durable
local messages, as, replaced, data, by = unpack(ARGV)
if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end
local seqs, named = {}, cjson.decode(as)
for _, seq in ipairs(cjson.decode(messages)) do
  local entry = stored_entries(seq, seq)[1]
  if entry and not cjson.decode(entry.text).data.deleted then
    for _, run_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do
      if redis.call('HGET', run_prefix .. run_id, 'input_seq') == entry.seq then stop_run(run_id, true, by) end
    end
    delete_entry(entry, named)
    seqs[#seqs + 1] = entry.seq
  end
end
local count = 0
for _, item in ipairs(cjson.decode(replaced)) do
  local entry = stored_entries(item[1], item[1])[1]
  if entry and redis.sha1hex(entry.text) == item[2] then
    redis.call('HSET', deleted, entry.seq, '\n\n' .. item[3])
    redis.call('XDEL', log, entry_id(entry.seq))
    redis.call('HSET', meta, 'rewrite', 1)
    redis.call('HINCRBY', meta, 'changes', 1)
    redis.call('ZADD', swept, 0, conversation_id)
    if entry.counts_for then redis.call('HINCRBY', usage, entry.counts_for, -#entry.text) end
    count = count + 1
  end
end
redis.call('HSET', meta, 'changes', redis.call('HGET', meta, 'changes') or '0') -- as it is: see `_request.lua`
expire_with_rest()
if #seqs > 0 then append_entry('message_deleted', with_fields(data, 'deletes', raw('[' .. table.concat(seqs, ',') .. ']'))) end
return {'ok', 'deleted', seqs, 'replaced', count}

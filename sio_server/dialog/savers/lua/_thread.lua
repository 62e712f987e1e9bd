-- Put before every script: names for the keys of one thread, and what the scripts share.
--   checkpoints  hash: "<namespace> NUL <checkpoint id>" (its field) -> a record; "<namespace>" -> id of the latest
--   order        list: the fields of all checkpoints, in the order of their writing
--   values       hash: "<namespace> NUL <channel> NUL <version>" -> a channel's value, shared by checkpoints
--   writes       sorted set, all scores 0, so a map in the order of its bytes: "<field> NUL <task id> NUL <index> NUL
--                <task path> NUL <channel> NUL <value>"
--   threads      set: ids of all threads of the partition
--   lease        hash of the conversation: owner, token
-- A record is {parent id, checkpoint, metadata, refs}; a ref is "<channel> NUL <version>".
local checkpoints, order, values, writes, threads, lease = unpack(KEYS)

-- Whether a fencing token was given and the lease has another one, or has expired.
local function stale(token)
  return token ~= '' and redis.call('HGET', lease, 'token') ~= token
end

-- The namespace and the id in a field.
local function split(field)
  local at = string.find(field, '\0', 1, true)
  return string.sub(field, 1, at - 1), string.sub(field, at + 1)
end

-- The range of all writes that begin with these bytes. What follows is UTF-8, which has no byte 255.
local function beginning(bytes)
  return '[' .. bytes, '(' .. bytes .. '\255'
end

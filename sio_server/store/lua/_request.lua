-- A request that changes something has one result. A script that carries out such a request runs as
-- `return request(function() ... end)`, or begins with `first_reply` and ends with `keep_reply`. A repetition gets the
-- first reply, whatever has happened since, with `repeated` = '1'. A refusal has changed nothing and is not kept.
-- `Scripts` adds the last key, and the last three arguments:
--   the request, "<user id> <request_id>"; the digest of its body, 40 digits; an id of this call, 12 digits
-- Since a node sends a command again whose reply was lost, the same call again is no repetition by the client.
-- Include it after `entry` or `devices`, which declare `made` and `sent`.
local request_key = KEYS[#KEYS]
local digest, call_id = ARGV[#ARGV - 1], ARGV[#ARGV]
made.by = ARGV[#ARGV - 2]

local function first_reply()
  local record = sent and redis.call('HGET', sent, made.by)
  local with_entry = record
  -- The result of a request that always makes an entry is nowhere else.
  if not record and not made.always then record = redis.call('GET', request_key) end
  if not record then return nil end
  local known_digest, known_call, reply = string.match(record, '^(%x+) (%x+) %d+ (.*)$')
  -- Of an entry that was deleted it is not known what it said.
  if known_digest ~= digest and known_digest ~= ANY_BODY then return {'request_id_reused'} end
  -- Replicas are waited for by what this connection has written; another one may have written the record.
  if with_entry then
    redis.call('HSET', sent, made.by, record)
  else
    redis.call('SET', request_key, record, 'KEEPTTL')
  end
  reply = cjson.decode(reply)
  if known_call ~= call_id then
    reply[#reply + 1] = 'repeated'
    reply[#reply + 1] = '1'
  end
  return reply
end

-- With the last entry that the request has made, if any: `append_entry` drops them together.
local function keep_reply(reply)
  if reply[1] ~= 'ok' then return reply end
  local record = string.format('%s %s %.0f ', digest, call_id, made.seq or 0) .. cjson.encode(reply)
  if made.seq then
    redis.call('HSET', sent, made.by, record)
    if made.expires_ms then redis.call('PEXPIRE', sent, made.expires_ms) end
  else
    redis.call('SET', request_key, record, 'PX', REQUEST_KEPT_MS)
  end
  return reply
end

local function request(step)
  return first_reply() or keep_reply(step())
end

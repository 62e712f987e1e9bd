-- Remove what a conversation has of a user who is no member, beside entries. With `forget` ('1') the dialog forgets
-- everything, if the user has written in it. `as` is the user's id from now on, `epoch` a new epoch of the log: devices start
-- over. `by` says who ends runs (JSON).
-- Returns ok.
-- keys: conversation
-- include: tombstone
-- durable
local user_id, as, epoch, forget, by = unpack(ARGV)
if redis.call('EXISTS', meta) == 0 then return {'ok'} end
if forget == '1' and redis.call('HEXISTS', usage, user_id) == 1 then
  supersede_interrupts()
  for _, run_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do stop_run(run_id, true, by) end
  return_to('')
end
for _, key in ipairs({reads, touched, drafts, listed}) do redis.call('HDEL', key, user_id) end
redis.call('HDEL', usage, user_id, 'granted ' .. user_id, 'left ' .. user_id)
redis.call('ZREM', invitations, user_id)
for _, field in ipairs(redis.call('ZRANGE', delivered, 0, -1)) do
  if string.match(field, '^%S+') == user_id then redis.call('ZREM', delivered, field) end
end
redis.call('HDEL', sent, user_id)
for _, field in ipairs(redis.call('HKEYS', sent)) do
  if string.match(field, '^%S+') == user_id then redis.call('HDEL', sent, field) end
end
local scheduled = redis.call('HGETALL', schedules)
for i = 1, #scheduled, 2 do
  if cjson.decode(string.match(scheduled[i + 1], '^%d+ (.*)$')).user_id == user_id then
    redis.call('HDEL', schedules, scheduled[i])
    redis.call('ZREM', due, conversation_id .. ' ' .. scheduled[i])
  end
end
for _, field in ipairs({'owner', 'message_user'}) do
  if redis.call('HGET', meta, field) == user_id then redis.call('HSET', meta, field, as) end
end
if redis.call('HGET', meta, 'epoch') ~= epoch then begin_epoch(epoch) else redis.call('HSET', meta, 'epoch', epoch) end
return {'ok'}

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
for _, key in ipairs({reads, touched, drafts}) do redis.call('HDEL', key, user_id) end
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
for _, field in ipairs(redis.call('HKEYS', reactions)) do
  if string.match(field, '^%d+ (.*)$') == user_id then redis.call('HDEL', reactions, field) end
end
local uploaded = redis.call('HGETALL', files)
for i = 1, #uploaded, 2 do
  local seq, owner, about = string.match(uploaded[i + 1], '^(%d+) (%S+) (.*)$')
  -- Where the texts stay the files that they name stay.
  if owner == user_id and (forget == '1' or seq == '0') then
    drop_file(uploaded[i])
  elseif owner == user_id then
    redis.call('HSET', files, uploaded[i], seq .. ' ' .. as .. ' ' .. about)
  end
end
for _, field in ipairs({'owner', 'message_user'}) do
  if redis.call('HGET', meta, field) == user_id then redis.call('HSET', meta, field, as) end
end
if redis.call('HGET', meta, 'epoch') ~= epoch then begin_epoch(epoch) else redis.call('HSET', meta, 'epoch', epoch) end
return {'ok'}

-- Delete a conversation, for its owner, a service, or an operator (`operator` is '1'): end its runs, remove all that it has,
-- and tell the nodes that follow it. `by` says who (JSON).
-- The checkpoints are deleted by a node that runs graphs: it finds their threads in `retired`, and its bell is rung.
-- Results of requests, which hold no text, expire by themselves.
-- Returns ok: deleted ('1', or '0' to a service: there was none), user_ids (of members and invited users); or an error code.
-- keys: conversation
-- include: run request
local user_id, by, operator = unpack(ARGV)

-- Records of runs that ended are kept for a while. Their ids are found in the entries of that time; if there are very many,
-- the oldest records expire by themselves.
local function forget_ended_runs()
  local since, below, looked_at = iso_of(milliseconds() - RUN_RECORD_KEPT_MS), '+', 0
  while below and looked_at < RECORDS_LOOKED_AT do
    looked_at = looked_at + 200
    local found = redis.call('XREVRANGE', log, below, '-', 'COUNT', 200)
    below = nil
    for _, item in ipairs(found) do
      local envelope = item[2][2]
      if string.match(envelope, '"ts":"([^"]*)"') < since then return end
      for run_id in string.gmatch(envelope, '"run_id":"([^"]*)"') do
        -- What a graph says may hold the id of any run.
        local record = run_prefix .. run_id
        if redis.call('HGET', record, 'conversation_id') == conversation_id then redis.call('DEL', record) end
      end
      below = '(' .. item[1]
    end
  end
end

return request(function()
  if is_service(user_id) and redis.call('EXISTS', meta) == 0 then return {'ok', 'deleted', '0', 'user_ids', {}} end
  local refusal = refuse_non_owner(user_id, operator)
  if refusal then return refusal end
  local user_ids = redis.call('HKEYS', members)
  for _, guest in ipairs(redis.call('ZRANGE', invitations, 0, -1)) do user_ids[#user_ids + 1] = guest end
  for _, run_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do stop_run(run_id, true, by) end
  forget_ended_runs()
  -- Its log takes no entry any more; webhooks are told what would be its last one.
  local last = redis.call('HMGET', meta, 'epoch', 'seq')
  tell_hooks('conversation_deleted', object('v', 2, 'conversation_id', conversation_id, 'epoch', last[1],
    'seq', last[2] + 1, 'type', 'conversation_deleted', 'ts', now(), 'data', raw(object('by', raw(by)))))
  local unneeded = redis.call('SMEMBERS', retired)
  for _, thread in ipairs(redis.call('LRANGE', threads, 0, -1)) do unneeded[#unneeded + 1] = thread end
  for _, field in ipairs({'thread', 'turn_base', 'asked_in', 'asked_base'}) do
    unneeded[#unneeded + 1] = redis.call('HGET', meta, field) or ''
  end
  for _, schedule_id in ipairs(redis.call('HKEYS', schedules)) do
    redis.call('ZREM', due, conversation_id .. ' ' .. schedule_id)
  end
  redis.call('ZREM', swept, conversation_id)
  local archive = redis.call('HGET', meta, 'archive')
  if archive then redis.call('ZADD', gone, 0, conversation_id .. '/' .. archive) end
  if redis.call('EXISTS', files) == 1 then redis.call('ZADD', files_due, 0, conversation_id .. ' *') end
  for _, key in ipairs(own_keys()) do redis.call('UNLINK', key) end
  redis.call('DEL', lease)
  for _, thread in ipairs(unneeded) do
    if thread ~= '' then redis.call('SADD', retired, thread) end
  end
  ring(conversation_id)
  -- After all that was published of it. Nodes look, and find it gone.
  publish_message(conversation_channel, 'R -\n')
  made.seq = nil  -- the entries that this has made are gone: the result is kept beside them
  return {'ok', 'deleted', '1', 'user_ids', user_ids}
end)

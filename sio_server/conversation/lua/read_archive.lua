-- Returns ok: archive (the name of the conversation's archive, made here if there is none), changes (how often entries of the
-- log have been changed); or an error code.
-- keys: conversation
-- include: entry once
return once(function(call_id)
  if redis.call('EXISTS', meta) == 0 then return {'unknown_conversation'} end
  redis.call('HSETNX', meta, 'archive', call_id)
  local known = redis.call('HMGET', meta, 'archive', 'changes')
  return {'ok', 'archive', known[1], 'changes', known[2] or '0'}
end)

-- A member stops the run `run_id`, or all runs (''), at once. `by` says who (JSON).
-- Returns ok: stopped (ids of the runs that this stopped); or an error code.
-- keys: conversation
-- include: run request
local user_id, run_id, by = unpack(ARGV)
acting_session = cjson.decode(by).session_id
return request(function()
  local refusal = refuse_non_member(user_id)
  if refusal then return refusal end
  local stopped = {}
  for _, unfinished_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do
    if run_id == '' or run_id == unfinished_id then
      stop_run(unfinished_id, false, by)
      stopped[#stopped + 1] = unfinished_id
    end
  end
  return {'ok', 'stopped', stopped}
end)

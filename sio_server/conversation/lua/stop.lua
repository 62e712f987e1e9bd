-- A member stops a run, or all runs, at once. ARGV: 4 user id, 5 run id ('': all), 6 who (JSON)
-- Returns {'ok', ids of the runs that this stopped} or {error code}.
local refusal = stranger(ARGV[4])
if refusal then return refusal end
local stopped = {}
for _, run_id in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do
  if ARGV[5] == '' or ARGV[5] == run_id then
    stop_run(run_id, false, ARGV[6])
    stopped[#stopped + 1] = run_id
  end
end
return {'ok', stopped}

-- Write what a task has written. ARGV: 1 fencing token or '', then of each write: its key up to the index and the NUL
-- after it, the rest, and '1' if it replaces what the key has; otherwise what was written first stays.
-- Returns 'ok' or 'stale'.
if stale(ARGV[1]) then return 'stale' end
for i = 2, #ARGV, 3 do
  local from, to = beginning(ARGV[i])
  if ARGV[i + 2] == '1' then redis.call('ZREMRANGEBYLEX', writes, from, to) end
  if redis.call('ZLEXCOUNT', writes, from, to) == 0 then redis.call('ZADD', writes, 0, ARGV[i] .. ARGV[i + 1]) end
end
return 'ok'

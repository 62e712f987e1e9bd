-- Sessions of a user have ended. `session_ids` is a JSON array; `user_kept_ms`: see `after_end`. `grace_ms`: a user who comes
-- back within this time has not been away; 0 where nobody knows that the user was here.
-- Returns ok: online ('1' or '0'), seen_in (ids of conversations to tell, of a user who is not online).
-- keys: user
-- include: devices
local session_ids, user_kept_ms, grace_ms = unpack(ARGV)
local ms, ended = milliseconds(), false
for _, session_id in ipairs(cjson.decode(session_ids)) do
  local value = redis.call('HGET', sessions, session_id)
  if value then
    ended = true
    redis.call('HDEL', sessions, session_id)
    local known = read_device(string.match(value, '^%S+'))
    if known then write_device(known.id, ms, known.named, known.name) end
  end
end
local online
if ended then online = after_end(user_kept_ms) else online = redis.call('EXISTS', sessions) == 1 end
if not online and grace_ms ~= '0' then redis.call('SET', leaving, 1, 'PX', grace_ms) end
return {'ok', 'online', online and '1' or '0', 'seen_in', online and {} or seen_in()}

-- A user has read up to `read_seq`, and the user's device has every entry up to `delivered_seq` ('': not said). A mark
-- never moves back, nor beyond the log. A read mark that moves is published; a delivery mark is if `tell` is '1'.
-- Returns ok: read, delivered (where the marks are now, '' where nothing was said); or an error code.
-- keys: conversation
-- include: entry
local user_id, device_id, session_id, read_seq, delivered_seq, tell = unpack(ARGV)
local refusal = refuse_non_member(user_id)
if refusal then return refusal end
local head = tonumber(redis.call('HGET', meta, 'seq'))
local moved = {'conversation_id', conversation_id, 'user_id', user_id, 'device_id', device_id, 'session_id', session_id}
local told = #moved
local read_mark, delivered_mark = '', ''
if read_seq ~= '' then
  read_mark = tonumber(redis.call('HGET', reads, user_id) or '0')
  local mark = math.min(tonumber(read_seq), head)
  if mark > read_mark then
    read_mark = mark
    redis.call('HSET', reads, user_id, mark)
    redis.call('HSET', touched, user_id, now())
    moved[#moved + 1] = 'read'
    moved[#moved + 1] = mark
  end
end
if delivered_seq ~= '' then
  local field = user_id .. ' ' .. device_id
  delivered_mark = tonumber(redis.call('ZSCORE', delivered, field) or '0')
  local mark = math.min(tonumber(delivered_seq), head)
  if mark > delivered_mark then
    delivered_mark = mark
    redis.call('ZADD', delivered, mark, field)
    redis.call('ZREMRANGEBYRANK', delivered, 0, -MAX_DELIVERED - 1)
    if tell == '1' then
      moved[#moved + 1] = 'delivered'
      moved[#moved + 1] = mark
    end
  end
end
if #moved > told then publish(conversation_channel, 'X', 'marks:moved', object(unpack(moved))) end
return {'ok', 'read', read_mark, 'delivered', delivered_mark}

-- A new device uses a code that `link_device` has made, once, and is listed among the user's.
--   link_hash       of the code
--   device_id       of the new device, made for this use: the same call again is known by it
-- Returns ok: link (what the device gets, JSON); or no_link: unknown, used, withdrawn, expired, or made by a device that
-- was signed out since.
-- keys: user
-- include: devices
local link_hash, device_id, device_name = unpack(ARGV)
local key = device_link_prefix .. link_hash
local made, used_by, by, link = string.match(redis.call('GET', key) or '', '^(%d+) (%S+) (%S+) (.*)$')
if not made or (used_by ~= '-' and used_by ~= device_id) then return {'no_link'} end
for _, mark in ipairs(redis.call('HMGET', signed_out, by, '*')) do
  local since = string.match(mark or '', '^%d+')
  if since and tonumber(since) >= tonumber(made) then return {'no_link'} end
end
if used_by == '-' then
  redis.call('SET', key, made .. ' ' .. device_id .. ' ' .. by .. ' ' .. link, 'KEEPTTL')
  write_device(device_id, milliseconds(), false, device_name)
  publish_devices(list_devices(all_devices()))
end
return {'ok', 'link', link}

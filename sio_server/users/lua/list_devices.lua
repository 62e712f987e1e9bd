-- Returns ok: devices (JSON).
-- keys: user
-- include: devices
return {'ok', 'devices', list_devices(all_devices())}

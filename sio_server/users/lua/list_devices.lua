-- Returns {'ok', the user's devices (JSON)}.
return {'ok', list_devices()}

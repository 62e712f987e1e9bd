-- Where notifications of a user go, and whether the user is online.
-- Returns ok: online (1 or 0), subscriptions (device id, JSON, ...).
-- keys: user
return {'ok', 'online', redis.call('EXISTS', sessions), 'subscriptions', redis.call('HGETALL', push)}

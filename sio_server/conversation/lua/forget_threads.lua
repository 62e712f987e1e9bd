-- Threads have been deleted. ARGV: 4.. their ids. Returns {'ok'}.
redis.call('SREM', retired, unpack(ARGV, 4))
return {'ok'}

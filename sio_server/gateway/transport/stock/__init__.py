"""The stock transport: the library's own sockets, queues and writer tasks on aiohttp's websockets."""

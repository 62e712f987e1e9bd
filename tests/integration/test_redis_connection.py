"""The connections to Redis: what is broken is lost, whichever event loop says so."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from sio_server.store.connection import connect


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
async def test_a_connection_that_has_just_broken_is_lost_and_the_command_is_repeated(cluster, run):
    async def ping(connection) -> None:
        # The one or the other notices, by the loop.
        await connection.send_command("PING")
        await connection.read_response()

    async def scene() -> None:
        client = connect(cluster.redis_url)
        connection = await client.connection_pool.get_connection()
        connection._writer.transport.abort()
        with pytest.raises(RedisConnectionError):
            await ping(connection)
        await client.connection_pool.release(connection)
        assert await client.ping() is True
        connection = client.connection_pool._available_connections[0]
        assert connection._writer is not None
        connection._writer.transport.abort()
        assert await client.echo("again") == "again"
        await client.aclose()

    await asyncio.to_thread(run, scene())

"""The connections to Redis: a broken one is noticed in every event loop, and all leave a demoted primary."""

from __future__ import annotations

import asyncio
import os
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.local.ports import REDIS_PORT_OFFSET
from sio_server.local.proxy import Proxy
from sio_server.local.redis import REDIS_ENVIRONMENT, find_embedded_redis
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ConversationCreate
from sio_server.store.connection import cannot_write, connect, connect_blocking, redis_errors
from sio_server.store.scripts import Scripts
from tests.conftest import free_ports
from tests.pipelines import one_server
from tests.waiting import poll, within

pytest_plugins = ["tests.served.dialog_fixtures"]

ANN = Author("ann", "Ann", "d-ann")


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
async def test_a_connection_that_has_just_broken_is_lost_and_the_command_is_repeated(lone_redis, run):
    async def ping(connection) -> None:
        # The one or the other notices, by the loop.
        await connection.send_command("PING")
        await connection.read_response()

    async def scene() -> None:
        client = connect_blocking(lone_redis.redis_url, 1.0)
        connection = await client.connection_pool.get_connection()
        connection._writer.transport.abort()
        with pytest.raises(RedisConnectionError):
            await ping(connection)
        await client.connection_pool.release(connection)
        assert await client.ping() is True
        await client.aclose()
        shared = connect(lone_redis.redis_url)
        assert await shared.ping() is True
        wire = one_server(shared)._wire
        assert wire is not None
        wire._transport.abort()
        assert await shared.echo("again") == "again"
        await shared.aclose()

    await asyncio.to_thread(run, scene())


# A primary that becomes a replica


def cluster_port(port: int) -> int:
    """Of a bare Redis in a cluster. By default it is in the range that the system gives to connections."""
    return port - REDIS_PORT_OFFSET


@asynccontextmanager
async def bare_redis(folder: Path, *arguments: str) -> AsyncIterator[Redis]:
    """A server of one's own without modules and files, which is killed afterwards; gives a client of it."""
    port = free_ports(1) + REDIS_PORT_OFFSET
    if "--cluster-enabled" in arguments:
        arguments += ("--cluster-port", str(cluster_port(port)))
    server = await asyncio.create_subprocess_exec(
        *(str(find_embedded_redis().server), "--bind", "127.0.0.1", "--port", str(port)),
        *("--dir", str(folder), "--save", "", "--repl-diskless-sync-delay", "0", *arguments),
        env={**os.environ, **REDIS_ENVIRONMENT},
        stdout=DEVNULL,
    )
    client = Redis(port=port, decode_responses=True, retry=Retry(ConstantBackoff(0.02), 500))
    try:
        await client.ping()
        yield client
    finally:
        await client.aclose()
        if server.returncode is None:
            server.kill()
        await server.wait()


@asynccontextmanager
async def redis_pair(folder: Path) -> AsyncIterator[tuple[Redis, Redis, Proxy]]:
    """A primary, its replica, and a proxy in front of the primary."""
    async with bare_redis(folder) as primary:
        port = port_of(primary)
        async with bare_redis(folder, "--replicaof", "127.0.0.1", str(port)) as replica:
            await poll(lambda: is_in_step(replica))
            proxy = Proxy([("127.0.0.1", port)])
            await proxy.start()
            yield primary, replica, proxy
            await proxy.close()


def port_of(client: Redis) -> int:
    return int(client.connection_pool.connection_kwargs["port"])


def ports_of(client: Redis) -> tuple[int, int]:
    """Of a bare Redis in a cluster: for CLUSTER MEET."""
    return port_of(client), cluster_port(port_of(client))


async def is_in_step(replica: Redis) -> bool:
    return "connected" in await replica.execute_command("ROLE")


async def read_on(pubsub: PubSub) -> None:
    while True:
        await pubsub.get_message(timeout=1.0)


@pytest.mark.faults
async def test_a_planned_failover_is_survived_and_every_connection_leaves_the_old_primary(tmp_path):
    async with redis_pair(tmp_path) as (primary, replica, proxy):
        url = f"redis://127.0.0.1:{proxy.port}/0"
        client, elsewhere, listener = connect(url), connect(url), connect_blocking(url, 1.0)
        log = ConversationLog(Scripts(client))
        members = Members(client, Scripts(client), log, retention=100)
        await members.create(
            ANN, ConversationCreate(request_id="create", conversation_id="plans", access="open", agent="off")
        )
        await elsewhere.ping()  # its connection lies idle from here
        pubsub = listener.pubsub()
        await pubsub.subscribe("news")
        failed_at: list[float] = []
        acked = 0

        async def send() -> None:
            nonlocal acked
            try:
                await log.append_message("plans", ANN, f"c{acked}", "hello", run_id="r")
                acked += 1
            except Unavailable:
                failed_at.append(time.monotonic())

        for _ in range(20):
            await send()
        proxy.targets = [("127.0.0.1", port_of(replica))]
        await primary.execute_command("FAILOVER", "TO", "127.0.0.1", port_of(replica))
        goal = acked + 20
        async with within(10, "more acks from the new primary", lambda: acked):
            while acked < goal:
                await send()
        assert not failed_at or failed_at[-1] - failed_at[0] < 2
        assert client.demoted is False
        assert client.answered_at > max(failed_at, default=0)
        # Nobody but this test, and the new primary, is connected to the old one; the listener as well has left.
        await poll(lambda: only_the_test_is_connected_to(primary))
        with pytest.raises((RedisConnectionError, OSError)):
            await asyncio.wait_for(read_on(pubsub), 5)
        assert (await log.page("plans", "ann", limit=100)).bounds.head == acked + 1
        for one in (client, elsewhere, listener):
            await one.aclose()


async def only_the_test_is_connected_to(server: Redis) -> bool:
    return len(await server.client_list(_type="normal")) == 1 and not await server.client_list(_type="pubsub")


async def test_a_replica_is_not_taken_for_a_redis_that_answers(tmp_path):
    async with redis_pair(tmp_path) as (_, replica, _proxy):
        client = connect(f"redis://127.0.0.1:{port_of(replica)}/0")
        answered = client.answered_at
        with pytest.raises(Unavailable, match="REDIS_URL must name the primary") as caught, redis_errors():
            await client.set("k", "v")
        assert not cannot_write(caught.value.__cause__), "not as a full Redis, with which reading is of use"
        assert await client.get("k") is None
        assert (client.demoted, client.answered_at) == (True, answered)
        client.demoted = False
        pipe = client.pipeline(transaction=False)
        pipe.hget("k", "f")
        pipe.set("k", "v")
        (_, refused) = await pipe.execute(raise_on_error=False)
        assert isinstance(refused, ResponseError)
        assert (client.demoted, client.answered_at) == (True, answered), "errors that are values count as well"
        await replica.replicaof("NO", "ONE")
        await client.ping()
        assert client.demoted is True
        await client.set("k", "v")
        assert client.demoted is False
        assert client.answered_at > answered
        await client.aclose()

"""Connections behind Sentinel go to the server that is the primary now, and leave one that is not."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from sio_server.local.ports import REDIS_PORT_OFFSET
from sio_server.local.redis import REDIS_ENVIRONMENT, find_embedded_redis
from sio_server.local.redis_client import redis_at
from sio_server.protocol.errors import Unavailable
from sio_server.redis_url import parse_redis_url
from sio_server.store import topology
from sio_server.store.connection import connect, connect_blocking, connect_bytes, connect_reader, redis_errors
from sio_server.store.partitions import PARTITIONS
from sio_server.store.redis_py import AT_ONCE, our_kind
from sio_server.store.sentinel import Sentinels
from sio_server.store.topology import primary_watch
from sio_server.store.undisputed import Named
from sio_server.store.wire import Wire
from tests.conftest import free_ports, redis_answers
from tests.integration.test_redis_connection import bare_redis, port_of, redis_pair
from tests.waiting import within

SERVICE = "main"
URL = "redis+sentinel://node:data@127.0.0.1:1,127.0.0.1:{port}/main/3?sentinel_password={password}"


@asynccontextmanager
async def sentinel_of(primary: Redis, folder: Path, password: str) -> AsyncIterator[int]:
    """One sentinel, which is killed afterwards; gives its port."""
    port = free_ports(1) + REDIS_PORT_OFFSET
    config = folder / "sentinel.conf"
    lines = ["bind 127.0.0.1", f"port {port}", f"sentinel monitor {SERVICE} 127.0.0.1 {port_of(primary)} 1"]
    config.write_text("\n".join([*lines, f"requirepass {password}", ""]), encoding="utf-8")
    server = await asyncio.create_subprocess_exec(
        *(str(find_embedded_redis().server), str(config), "--sentinel"),
        env={**os.environ, **REDIS_ENVIRONMENT},
        stdout=DEVNULL,
    )
    try:
        await redis_answers(f"redis://:{password}@127.0.0.1:{port}")
        yield port
    finally:
        server.kill()
        await server.wait()


async def test_every_kind_of_client_reaches_the_primary_with_its_user_and_database_and_the_sentinels_password(
    tmp_path,
):
    async with bare_redis(tmp_path) as primary, sentinel_of(primary, tmp_path, "s3ntinel") as port:
        await primary.execute_command("ACL", "SETUSER", "node", "on", ">data", "~*", "&*", "+@all")
        url = URL.format(port=port, password="s3ntinel")
        clients = [connect(url), connect_bytes(url), connect_reader(url, 1), connect_blocking(url, 1)]
        for number, client in enumerate(clients):
            await client.set(f"k{number}", "v")
            await client.aclose()
        async with redis_at(url) as elsewhere:
            noted = [key async for key in elsewhere.scan_iter("*:stats")]
            assert len(noted) == PARTITIONS
            assert await elsewhere.hgetall(noted[0]) == {b"primary0": b"0", b"primary": b"0"}
            assert await elsewhere.dbsize() == len(clients) + PARTITIONS
        assert (await primary.info("keyspace"))["db3"]["keys"] == len(clients) + PARTITIONS
        # A user who may not ask for the role.
        await primary.execute_command("ACL", "SETUSER", "node", "-role")
        said = asyncio.get_running_loop().create_future()
        wire = await Wire.open(url, said.set_result, said.set_result)
        wire.send(["ACL", "WHOAMI"])
        assert await said == "node"
        wire.abort()


async def test_what_is_wrong_with_the_url_is_logged_with_what_to_write_instead(tmp_path, caplog):
    async with bare_redis(tmp_path) as primary, sentinel_of(primary, tmp_path, "s3ntinel") as port:
        for url, said in (
            (
                f"127.0.0.1:{port}/main?sentinel_password=wrong",
                "it refuses sentinel_password or sentinel_username",
            ),
            (f"127.0.0.1:{port}/main", "it asks for a password; write ?sentinel_password="),
            (f"127.0.0.1:{port}/other?sentinel_password=s3ntinel", "write the name that `sentinel monitor` has"),
            (f"127.0.0.1:{port_of(primary)}/main", "it is a Redis and no sentinel"),
            (f"127.0.0.1:{port_of(primary)}/main?sentinel_password=s", "leave sentinel_password out"),
        ):
            caplog.clear()
            client = connect(f"redis+sentinel://{url}")
            with (
                caplog.at_level(logging.WARNING),
                pytest.raises(Unavailable, match="cannot be reached"),
                redis_errors(),
            ):
                await client.ping()  # which is tried twice
            await client.aclose()
            assert caplog.text.count(said) == 1, (url, caplog.text)
            assert "s3ntinel" not in caplog.text


async def test_a_new_primary_that_waits_for_its_replicas_is_read_and_notes_the_failover_when_it_may_write(
    tmp_path,
):
    async with bare_redis(tmp_path) as primary, sentinel_of(primary, tmp_path, "s3ntinel") as port:
        await primary.execute_command("ACL", "SETUSER", "node", "on", ">data", "~*", "&*", "+@all")
        await primary.config_set("min-replicas-to-write", 1)
        url = URL.format(port=port, password="s3ntinel")
        client, sentinels = connect(url), locator_of(url)
        try:
            assert await client.get("nothing") is None
            with pytest.raises(ResponseError, match="Not enough good replicas"):
                await client.set("k", "v")
            await sentinels.check_primary()
            await primary.config_set("min-replicas-to-write", 0)
            await sentinels.check_primary()
            noted = [key async for key in client.scan_iter("*:stats")]
            assert len(noted) == PARTITIONS
        finally:
            await client.aclose()


def locator_of(url: str) -> Sentinels:
    watch: Any = primary_watch(url)
    sentinels = watch.__self__
    assert isinstance(sentinels, Sentinels)
    return sentinels


@pytest.mark.parametrize("described", [[], ["flags"], ["flags", "master", "down-after-milliseconds", "soon"]])
async def test_a_sentinel_whose_answer_cannot_be_read_counts_as_one_that_is_away(described):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"MASTER\r\n$4\r\nmain\r\n")
        writer.write(b"*2\r\n$4\r\nhost\r\n$1\r\n1\r\n")
        writer.write(
            b"*%d\r\n" % len(described) + b"".join(f"${len(one)}\r\n{one}\r\n".encode() for one in described)
        )
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    try:
        sentinels = locator_of(f"redis+sentinel://127.0.0.1:{port}/main/0")
        with pytest.raises(RedisConnectionError, match="0 of 1 sentinels name a primary"):
            await sentinels.primary()
        assert not await sentinels.is_undisputed(("host", 1))
    finally:
        server.close()


async def test_threads_that_connect_at_once_share_what_sentinels_have_said(monkeypatch):
    def parse_slowly(url: str) -> Any:
        time.sleep(0.02)  # so that others come meanwhile
        return parse_redis_url(url)

    monkeypatch.setattr(topology, "parse_redis_url", parse_slowly)
    url = "redis+sentinel://127.0.0.1:1/shared/0"
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: locator_of(url), range(64)))
    assert all(one is found[0] for one in found)


class Told:
    """Names the server that it was told to name."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.confirmed: tuple[str, int] | None = None

    async def primary(self) -> Named:
        return Named(1, "127.0.0.1", self.port)

    def to_note(self, named: Named) -> list[tuple[str, ...]]:
        return []

    def noted(self, named: Named) -> None:
        raise AssertionError("there was nothing to note")

    def confirm(self, named: Named) -> tuple[str, int] | None:
        before, self.confirmed = self.confirmed, (named.host, named.port)
        return None if before == self.confirmed else before


async def test_a_replica_that_is_named_as_the_primary_is_not_used_and_a_hung_one_is_left_by_blocking_reads(
    tmp_path,
):
    async with redis_pair(tmp_path) as (primary, replica, _proxy):
        told = Told(port_of(replica))
        kind = our_kind(Connection, told)

        def new() -> Connection:
            connection = kind(**AT_ONCE, socket_timeout=20.0)
            assert isinstance(connection, Connection)
            return connection

        with pytest.raises(RedisConnectionError, match="was named as the primary and is none"):
            await new().connect()
        assert told.confirmed is None
        told.port = port_of(primary)
        reader, other = new(), new()
        await reader.connect()
        await reader.send_command("BLPOP", "nothing", 15)
        reading = asyncio.ensure_future(reader.read_response())
        await replica.replicaof("NO", "ONE")
        told.port = port_of(replica)
        await other.connect()
        async with within(2, "the end of the read on the primary before"):
            with pytest.raises(RedisConnectionError):
                await reading
        await reader.connect()
        assert reader.port == port_of(replica)
        for connection in (reader, other):
            await connection.disconnect()

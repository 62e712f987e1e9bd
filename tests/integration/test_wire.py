"""A wire to a real Redis: replies in order, messages of pub/sub, and one notice when it is lost."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from sio_server.store.wire import Wire
from tests.integration.test_acl import certificates, tls_in_front_of
from tests.integration.test_redis_connection import port_of, redis_pair
from tests.waiting import within

pytest_plugins = ["tests.served.dialog_fixtures"]

Run = Callable[[Coroutine[Any, Any, None]], None]
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])


class Came(asyncio.Queue[Any]):
    """What has come and was not looked at yet."""

    async def next(self) -> Any:
        async with within(10, "the next reply, message or loss"):
            return await self.get()


class Line:
    """A wire with what has come over it."""

    def __init__(self) -> None:
        self.replies = Came()
        self.losses = Came()
        self.wire: Wire

    async def ask(self, *command: bytes | str | int) -> Any:
        self.wire.send(command)
        return await self.replies.next()


@asynccontextmanager
async def line_to(url: str, **options: Any) -> AsyncIterator[Line]:
    line = Line()
    line.wire = await Wire.open(url, line.replies.put_nowait, line.losses.put_nowait, **options)
    try:
        yield line
    finally:
        line.wire.close()
        async with within(10, "the end of the connection"):
            await line.wire.wait_closed()


async def in_loop(run: Run, scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await asyncio.to_thread(lambda: run(scene()))


@LOOPS
async def test_replies_come_in_the_order_of_their_commands_also_when_they_are_errors(lone_redis, run):
    async def scene() -> None:
        async with line_to(lone_redis.redis_url) as line:
            for number in range(500):
                line.wire.send(("ECHO", number), ("NONSENSE", number), (b"ECHO", "é".encode()))
                if number % 7 == 0:
                    await asyncio.sleep(0)
            for number in range(500):
                assert await line.replies.next() == str(number)
                assert isinstance(await line.replies.next(), ResponseError)
                assert await line.replies.next() == "é"
            line.wire.close()
            await line.wire.wait_closed()
            assert line.losses.empty(), "a wire that was closed here is not lost"

    await in_loop(run, scene)


async def test_commands_of_one_turn_of_the_loop_are_written_together(lone_redis, monkeypatch):
    async with line_to(lone_redis.redis_url) as line:
        written: list[bytes] = []
        monkeypatch.setattr(line.wire, "_transport", Written(line.wire._transport, written))
        line.wire.send(("PING",))
        line.wire.send(("PING",), ("PING",))
        assert not written
        assert [await line.replies.next() for _ in range(3)] == ["PONG"] * 3
        assert written == [hiredis.pack_command(("PING",)) * 3]


class Written:
    """A transport, with a note of what is written."""

    def __init__(self, transport: asyncio.Transport, written: list[bytes]) -> None:
        self._transport = transport
        self._written = written

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@LOOPS
async def test_replies_may_be_larger_than_any_buffer_and_bytes_that_are_no_text(lone_redis, run):
    async def scene() -> None:
        async with line_to(lone_redis.redis_url, decode=False) as raw, line_to(lone_redis.redis_url) as line:
            big = bytes(range(256)) * 40_000
            assert await raw.ask("ECHO", big) == big
            assert await raw.ask("PING") == b"PONG"
            assert isinstance(await line.ask("ECHO", b"\xff"), UnicodeDecodeError)
            assert await line.ask("PING") == "PONG"

    await in_loop(run, scene)


async def test_messages_of_channels_come_between_the_replies(lone_redis, new_id):
    redis = Redis.from_url(lone_redis.redis_url)
    sharded = int((await redis.info("server"))["redis_version"].split(".")[0]) >= 7
    subscribe, publish = ("SSUBSCRIBE", "SPUBLISH") if sharded else ("SUBSCRIBE", "PUBLISH")
    async with line_to(lone_redis.redis_url, decode=False) as line:
        line.wire.send((subscribe, f"{new_id}:a"), (subscribe, f"{new_id}:b"))
        for number, name in enumerate("ab", start=1):
            confirmed = [subscribe.lower().encode(), f"{new_id}:{name}".encode(), number]
            assert await line.replies.next() == confirmed
        for number in range(3):
            assert await redis.execute_command(publish, f"{new_id}:b", f"m{number}") == 1
        kind = publish.lower().replace("publish", "message").encode()
        for number in range(3):
            assert await line.replies.next() == [kind, f"{new_id}:b".encode(), f"m{number}".encode()]
        assert await line.ask("PING", "here") == [b"pong", b"here"]
    await redis.aclose()


@LOOPS
async def test_a_connection_that_redis_ends_is_lost_once(lone_redis, run):
    async def scene() -> None:
        async with line_to(lone_redis.redis_url) as line, line_to(lone_redis.redis_url) as operator:
            number = await line.ask("CLIENT", "ID")
            line.wire.send(("BLPOP", "nothing", 0))
            assert await operator.ask("CLIENT", "KILL", "ID", number) == 1
            await line.losses.next()
            line.wire.send(("PING",))  # is dropped
            await line.wire.wait_closed()
            await asyncio.sleep(0)
            assert line.losses.empty()
            assert line.replies.empty()

    await in_loop(run, scene)


async def test_a_wire_that_is_aborted_says_nothing_more(lone_redis):
    async with line_to(lone_redis.redis_url) as line:
        line.wire.send(("PING",))
        line.wire.abort()
        await line.wire.wait_closed()
        assert line.replies.empty()
        assert line.losses.empty()


async def test_what_is_no_redis_is_a_lost_connection():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    async with line_to(url) as line:
        line.wire.send(("PING",))
        assert isinstance(await line.losses.next(), RedisConnectionError)
        assert line.replies.empty()
    server.close()


async def test_a_wire_that_cannot_be_opened_says_why(lone_redis):
    with pytest.raises(RedisConnectionError):
        await Wire.open("redis://127.0.0.1:1/0", print, print)
    with pytest.raises(AuthenticationError):
        await Wire.open(lone_redis.redis_url.replace("://", "://nobody:wrong@"), print, print)


async def test_wires_leave_a_primary_that_has_become_a_replica(tmp_path):
    async with redis_pair(tmp_path) as (_, replica, _proxy):
        url = f"redis://127.0.0.1:{port_of(replica)}/0"
        async with line_to(url) as writing, line_to(url, decode=False) as listening:
            listening.wire.send(("SUBSCRIBE", "news"))
            await listening.replies.next()
            assert isinstance(await writing.ask("SET", "k", "v"), ResponseError)
            await writing.losses.next()
            await listening.losses.next()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
@LOOPS
async def test_a_wire_speaks_tls(lone_redis, tmp_path, run):
    certificates(tmp_path)
    async with tls_in_front_of(lone_redis.redis_port, tmp_path) as tls_port:
        own = f"ssl_certfile={tmp_path}/node.crt&ssl_keyfile={tmp_path}/node.key"

        async def scene() -> None:
            url = f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={tmp_path}/ca.crt&{own}"
            async with line_to(url) as line:
                assert isinstance(line.wire._transport.get_extra_info("ssl_object"), ssl.SSLObject)
                for number in range(100):
                    line.wire.send(("ECHO", number))
                assert [await line.replies.next() for _ in range(100)] == [str(n) for n in range(100)]
                big = "x" * 3_000_000
                assert await line.ask("ECHO", big) == big

        await in_loop(run, scene)

"""One connection for the commands of all callers: replies, losses, time limits, and scripts that Redis forgot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.local.proxy import Proxy
from sio_server.store import pipelined, wire
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import connect, connect_bytes, connect_reader
from sio_server.store.pipelined import COMMAND_TIMEOUT_S, LoadedScript, PipelinedBytes
from tests.pipelines import one_server
from tests.waiting import poll, within

pytest_plugins = ["tests.served.dialog_fixtures"]

ECHO = "return {KEYS[1], ARGV[1]}"


@pytest.fixture(name="shared")
async def shared_client(lone_redis) -> AsyncIterator[BoundedRedis]:
    client = connect(lone_redis.redis_url)
    yield client
    await client.aclose()


@asynccontextmanager
async def proxied(
    lone_redis: Any, make: Callable[[str], BoundedRedis] = connect
) -> AsyncIterator[tuple[BoundedRedis, Proxy]]:
    """A client with a proxy between it and its Redis."""
    proxy = Proxy([("127.0.0.1", lone_redis.redis_port)])
    await proxy.start()
    client = make(f"redis://127.0.0.1:{proxy.port}/0")
    try:
        yield client, proxy
    finally:
        await client.aclose()
        await proxy.close()


async def echoes(client: BoundedRedis, number: int) -> None:
    """Ask for a number in every way that there is, and get it each time."""
    script = LoadedScript(ECHO)
    text = str(number)

    async def in_pipeline(transaction: bool) -> None:
        pipe = client.pipeline(transaction=transaction)
        for part in "ab":
            pipe.echo(text + part)
        assert await pipe.execute() == [text + "a", text + "b"]

    async def in_script() -> None:
        assert await client.run_script(script, ["k"], [number]) == ["k", text]
        calls = [([f"k{n}"], [number + n]) for n in range(3)]
        assert await client.run_scripts(script, calls) == [[f"k{n}", str(number + n)] for n in range(3)]

    async def refused() -> None:
        with pytest.raises(ResponseError, match=f"`x{number}`|'x{number}'"):
            await client.execute_command(f"NONSENSE{number}", f"x{number}")

    assert await client.echo(text) == text
    await asyncio.gather(in_pipeline(True), in_pipeline(False), in_script(), refused())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
async def test_every_caller_gets_the_reply_to_its_own_command_over_one_connection(lone_redis, run):
    async def scene() -> None:
        client = connect(lone_redis.redis_url)
        try:
            await client.client_setname("these")
            await asyncio.gather(*(echoes(client, number) for number in range(100)))
            assert sum(one["name"] == "these" for one in await client.client_list()) == 1
            assert not client.connection_pool._available_connections
        finally:
            await client.aclose()

    await asyncio.to_thread(run, scene())


async def outcome(asked: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await asked()
    except RedisError as exc:
        return type(exc), str(exc)


async def everything(client: Redis, key: str) -> list[Any]:
    """What a client says about commands with replies of every kind."""
    results: list[Any] = []

    async def ask(name: str, *args: Any, **options: Any) -> None:
        results.append((name, await outcome(lambda: getattr(client, name)(*args, **options))))

    await ask("set", key, "1", nx=True)
    await ask("set", key, "1", nx=True)
    await ask("get", f"{key}-none")
    await ask("incr", key)
    await ask("hset", f"{key}h", mapping={"a": 1, "b": 2.5, "c": b"x"})
    await ask("hgetall", f"{key}h")
    await ask("hmget", f"{key}h", ["a", "none"])
    await ask("hget", key, "a")  # another type
    await ask("zadd", f"{key}z", {"m": 1.5, "n": 2})
    await ask("zrange", f"{key}z", 0, -1, withscores=True)
    await ask("zscore", f"{key}z", "m")
    await ask("sadd", f"{key}s", "x")
    await ask("smembers", f"{key}s")
    await ask("xadd", f"{key}x", {"f": "v"}, id="5-1")
    await ask("xrange", f"{key}x")
    await ask("xread", {f"{key}x": "0"})
    await ask("xinfo_stream", f"{key}x")
    await ask("exists", key, f"{key}h")
    await ask("type", key)
    await ask("ttl", key)
    await ask("pexpire", key, 60_000)
    await ask("config_get", "appendonly")
    await ask("script_exists", "0" * 40)
    await ask("pubsub_numsub", key)
    await ask("ping")
    await ask("execute_command", "NONSENSE")
    await ask("evalsha", "0" * 40, 0)
    await ask("eval", "return redis.call('hget', KEYS[1], 'a')", 1, key)
    await ask("set", key, None)
    await ask("set", key, True)
    await ask("dump", f"{key}s")
    results.append([name async for name in client.scan_iter(match=f"{key}h")])
    for transaction in (True, False):
        for strict in (True, False):
            for wrong in (None, ("hget", key, "a"), ("execute_command", "NONSENSE", "x")):
                pipe = client.pipeline(transaction=transaction)
                pipe.hgetall(f"{key}h")
                if wrong:
                    getattr(pipe, wrong[0])(*wrong[1:])
                pipe.zrange(f"{key}z", 0, -1, withscores=True)
                results.append(await outcome(partial(pipe.execute, raise_on_error=strict)))
                assert len(pipe) == 0
    pipe = client.pipeline(transaction=False)
    pipe.get(key)
    results += [await pipe.execute(), await pipe.execute()]
    async with client.pipeline() as pipe:  # optimistic locking
        await pipe.watch(key)
        results.append(await pipe.get(key))
        pipe.multi()
        pipe.get(key)
        results.append(await pipe.execute())
    return results


def comparable(results: list[Any]) -> list[str]:
    return [repr(one) for one in results]


async def test_callers_get_the_values_and_errors_that_they_get_from_redis_py(shared, lone_redis, new_id):
    plain = Redis.from_url(lone_redis.redis_url, decode_responses=True, protocol=2)
    expected = await everything(plain, new_id)
    await plain.delete(*[key async for key in plain.scan_iter(match=f"{new_id}*")])
    got = await everything(shared, new_id)
    assert comparable(got) == comparable(expected)
    await plain.aclose()


async def test_an_argument_that_cannot_be_sent_is_refused_and_the_connection_stays(shared):
    for wrong in (None, object(), ["a"]):
        with pytest.raises(DataError):
            await shared.execute_command("ECHO", wrong)
    assert await shared.echo("next") == "next"


async def test_the_reply_to_a_cancelled_caller_is_discarded(shared):
    await shared.ping()
    callers = [asyncio.create_task(shared.echo(str(number))) for number in range(100)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    replies = await asyncio.gather(*callers, return_exceptions=True)
    assert replies[1::2] == [str(number) for number in range(1, 100, 2)]
    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[::2])
    assert await shared.echo("next") == "next"


async def test_what_a_lost_connection_owed_is_sent_again_in_the_same_order(lone_redis, new_id):
    async with proxied(lone_redis) as (client, proxy):
        await client.ping()
        for after in (0, 37, 200):
            proxy.down.cut(after)
            pushed = [client.execute_command("HSET", new_id, n, n) for n in range(50)]
            await asyncio.gather(*pushed, *(echoes(client, n) for n in range(20)))
        assert list(await client.hgetall(new_id)) == [str(n) for n in range(50)]


async def test_no_caller_waits_longer_than_its_time_when_redis_hangs(lone_redis):
    async with proxied(lone_redis) as (client, proxy):
        await client.ping()
        proxy.down.blackhole = True
        began = time.monotonic()

        async def ask(delay: float) -> float:
            await asyncio.sleep(delay)
            asked = time.monotonic()
            with pytest.raises((RedisTimeoutError, RedisConnectionError)):
                await client.ping()
            return time.monotonic() - asked

        waited = await asyncio.gather(*(ask(n / 100) for n in range(30)))
        assert COMMAND_TIMEOUT_S - 0.01 < max(waited) < COMMAND_TIMEOUT_S + 0.5
        assert time.monotonic() - began < 2.5
        proxy.down.blackhole = False
        await poll(lambda: outcome(client.ping), every=0.1)
        assert await client.ping() is True
        assert not one_server(client)._due
        assert not one_server(client)._sent


async def test_no_caller_waits_longer_than_its_time_on_a_busy_node(lone_redis, monkeypatch):
    """A turn of the loop that is longer than the tolerance for late timers makes each of them late."""
    monkeypatch.setattr(pipelined.Pipelined, "command_timeout_s", 0.4)
    loop = asyncio.get_running_loop()
    async with proxied(lone_redis) as (client, proxy):
        await client.ping()
        proxy.down.blackhole = True
        asked = asyncio.ensure_future(client.ping())
        turns = 0
        while not asked.done() and turns < 25:
            loop.call_soon(time.sleep, pipelined._LATE_S + 0.03)
            await asyncio.sleep(0)
            turns += 1
        assert turns < 25, "the time limit never came"
        with pytest.raises(RedisTimeoutError):
            await asked


async def test_a_redis_that_does_not_read_is_sent_no_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(wire, "MAX_UNWRITTEN_BYTES", 1_000_000)
    transports: list[asyncio.Transport] = []

    class Unread(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.pause_reading()
            transports.append(transport)

    server = await asyncio.get_running_loop().create_server(Unread, "127.0.0.1", 0)
    client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    part = "x" * 1_000_000
    asked: list[asyncio.Future[Any]] = []
    async with within(COMMAND_TIMEOUT_S / 2, "a refusal"):
        while not (over := [one for one in asked if one.done()]):
            asked.append(asyncio.ensure_future(client.echo(part)))
            await asyncio.sleep(0.001)
    with pytest.raises(RedisConnectionError, match="does not read"):
        await over[0]
    assert over == asked[-len(over) :], "what was sent before waits for its reply"
    await client.aclose()
    await asyncio.gather(*asked, return_exceptions=True)
    server.close()
    for transport in transports:
        transport.abort()


async def test_a_connection_that_answers_nothing_is_left_and_the_next_serves(lone_redis):
    async with proxied(lone_redis) as (client, proxy):
        await client.ping()
        left = one_server(client)._wire
        proxy.down.blackhole = True
        asked = asyncio.ensure_future(client.echo("late"))
        await poll(lambda: one_server(client)._wire is not left or asked.done(), every=0.005)
        proxy.down.blackhole = False
        assert await asked == "late"


async def test_callers_are_refused_at_once_when_there_is_no_redis():
    client = connect("redis://127.0.0.1:1/0")
    began = time.monotonic()
    replies = await asyncio.gather(*(client.ping() for _ in range(20)), return_exceptions=True)
    assert [type(reply) for reply in replies] == [RedisConnectionError] * 20
    assert time.monotonic() - began < COMMAND_TIMEOUT_S
    await client.aclose()


async def test_a_script_that_redis_has_forgotten_is_loaded_once_for_all_its_callers(shared):
    script = LoadedScript(f"-- {time.time_ns()}\n{ECHO}")
    for _ in range(2):
        await shared.config_resetstat()
        single = [shared.run_script(script, ["k"], [n]) for n in range(50)]
        many = shared.run_scripts(script, [([f"k{n}"], [n]) for n in range(50)])
        *replies, listed = await asyncio.gather(*single, many)
        assert replies == [["k", str(n)] for n in range(50)]
        assert listed == [[f"k{n}", str(n)] for n in range(50)]
        stats = await shared.info("commandstats")
        loads = stats.get("cmdstat_script|load") or stats["cmdstat_script"]
        assert loads["calls"] == 1
        await shared.script_flush()


async def test_a_script_that_cannot_be_loaded_says_why(shared):
    broken = LoadedScript("this is no Lua")
    for calls in (1, 3):
        with pytest.raises(ResponseError, match="compiling script"):
            await shared.run_scripts(broken, [(["k"], [n]) for n in range(calls)])


async def test_the_first_error_of_many_calls_of_a_script_is_raised(shared):
    script = LoadedScript("if ARGV[1] == '2' then return redis.error_reply('NO two') end return ARGV[1]")
    with pytest.raises(ResponseError, match="NO two"):
        await shared.run_scripts(script, [(["k"], [n]) for n in range(5)])
    assert await shared.run_scripts(script, [(["k"], [n]) for n in (0, 1)]) == ["0", "1"]


async def test_an_attempt_to_connect_that_is_cancelled_does_not_stop_the_next_command(shared):
    first = asyncio.create_task(shared.echo("first"))
    await asyncio.sleep(0)
    connecting = shared.pipelined._connecting
    assert connecting is not None
    connecting.cancel()
    await asyncio.wait([connecting])
    assert await shared.echo("second") == "second"
    assert await first == "first"


async def test_callers_that_wait_when_the_client_is_closed_are_told(lone_redis):
    async with proxied(lone_redis) as (client, proxy):
        await client.ping()
        proxy.down.blackhole = True
        waiting = asyncio.ensure_future(client.ping())
        await asyncio.sleep(0)
        async with within(1, "the end"):
            await client.aclose()
        with pytest.raises(RedisConnectionError):
            await waiting


async def test_a_client_belongs_to_one_event_loop(lone_redis):
    client = connect(lone_redis.redis_url)

    async def use() -> None:
        assert await client.ping() is True
        await client.aclose()

    await asyncio.to_thread(asyncio.run, use())
    await asyncio.to_thread(asyncio.run, use())  # the loop before has ended
    assert await client.ping() is True
    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, use())
    await client.aclose()


async def test_scripts_that_are_sent_together_are_carried_out_in_order_though_redis_has_forgotten_them(
    shared, new_id
):
    push = LoadedScript("return redis.call('APPEND', KEYS[1], ARGV[1])")
    read = LoadedScript("return redis.call('GET', KEYS[1])")
    refuse = LoadedScript("return redis.error_reply('NO')")
    await shared.script_flush()
    # When one is not known, all are run again: what they do has to be the same once or twice.
    replies = await shared.run_together([(read, [new_id], []), (refuse, [], []), (push, [new_id], ["a"])])
    assert (replies[0], str(replies[1]), replies[2]) == (None, "NO", 1)
    assert await shared.run_together([(push, [new_id], ["b"]), (read, [new_id], [])]) == [2, "ab"]
    assert await shared.run_together([(read, [new_id], [])]) == ["ab"]


# Values that are bytes, of any size


async def test_values_of_any_size_and_any_bytes_share_a_connection_and_none_is_refused(
    lone_redis, monkeypatch, new_id
):
    monkeypatch.setattr(wire, "MAX_UNWRITTEN_BYTES", 1_000)
    client = connect_bytes(lone_redis.redis_url)
    values = [bytes([255, number]) * 1_000_000 for number in range(5)]
    await asyncio.gather(*(client.set(f"{new_id}:{n}", value) for n, value in enumerate(values)))
    assert await asyncio.gather(*(client.get(f"{new_id}:{n}") for n in range(5))) == values
    await client.delete(*(f"{new_id}:{n}" for n in range(5)))
    await client.aclose()


async def test_a_write_of_bytes_survives_a_redis_that_closes_several_connections(lone_redis, new_id):
    async with proxied(lone_redis, connect_bytes) as (client, proxy):
        await client.ping()
        asked = asyncio.ensure_future(client.hset(new_id, "a", b"\xff"))
        for _ in range(PipelinedBytes.retries):
            proxy.down.cut(0)
            await poll(lambda: proxy.down._cut is None or asked.done(), every=0.001)
        await asked
        assert await client.hgetall(new_id) == {b"a": b"\xff"}


# Reads that block


async def test_a_read_that_blocks_is_never_repeated_and_the_next_one_is_served(lone_redis, new_id):
    async with proxied(lone_redis, partial(connect_reader, block_s=5.0)) as (client, proxy):
        await client.xadd(new_id, {"a": b"\xff"})
        before = (await client.info("commandstats")).get("cmdstat_xread", {}).get("calls", 0)
        reading = asyncio.ensure_future(client.xread({new_id: "$"}, block=5_000))
        async with connect(lone_redis.redis_url) as other:
            await poll(partial(is_blocked, other), every=0.005)
        proxy.down.cut(0)
        async with connect(lone_redis.redis_url) as other:
            await other.xadd(new_id, {"a": "lost with its connection"})
        with pytest.raises(RedisConnectionError):
            await reading
        reply: Any = await client.xread({new_id: "0"}, block=5_000)
        ((_, found),) = reply
        assert [fields["a"] for _, fields in found] == ["\ufffd", "lost with its connection"]
        assert (await client.info("commandstats"))["cmdstat_xread"]["calls"] == before + 2


async def is_blocked(client: BoundedRedis) -> bool:
    """Whether a client of this Redis waits in a command that blocks."""
    return bool((await client.info("clients"))["blocked_clients"])

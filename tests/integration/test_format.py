"""The layout of keys is written down in Redis by the first node, and a node with another one does not start."""

from __future__ import annotations

import asyncio

import pytest

from sio_server.node import Node
from sio_server.settings import SettingsError, load_settings
from sio_server.store import format as format_
from sio_server.store.connection import connect
from sio_server.store.format import WrongFormat, check_format
from sio_server.store.keys import FORMAT, MIGRATION
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.waiting import within


async def test_a_node_with_another_layout_of_keys_refuses_to_start(tmp_path, monkeypatch):
    async with bare_redis(tmp_path) as redis:
        url = f"redis://127.0.0.1:{port_of(redis)}/0"
        client = connect(url)
        await check_format(client)
        await check_format(client)
        assert await redis.get(FORMAT) == '{"partitions":96,"table":1,"version":1}'
        monkeypatch.setattr(format_, "TABLE", 2)
        with pytest.raises(WrongFormat, match=r"rg:format is .*table.:1"):
            await check_format(client)
        node = Node(load_settings(redis_url=url, auth_mode="guest", port=1))
        with pytest.raises(SettingsError, match="another layout of keys"):
            await node.start()
        await redis.set(FORMAT, "what?")
        with pytest.raises(WrongFormat, match=r"what\?"):
            await check_format(client)
        await client.aclose()


async def add_marks(redis):
    """A made-up step, from a format in which lists had no `mark`: one field of each."""
    async for key in redis.scan_iter(match="made-up:*"):
        await redis.hsetnx(key, "mark", "0")


async def old_data(redis, version=1):
    await redis.set(FORMAT, f'{{"partitions":96,"table":1,"version":{version}}}')
    for number in range(50):
        await redis.hset(f"made-up:{number}", "name", f"n{number}")


async def test_data_of_an_older_format_is_migrated_once_by_one_of_the_nodes_that_start(tmp_path):
    async with bare_redis(tmp_path) as redis:
        await old_data(redis)
        clients = [connect(f"redis://127.0.0.1:{port_of(redis)}/0") for _ in range(3)]
        order: list[int] = []

        async def second(redis):
            order.append(2)
            await add_marks(redis)

        async def third(redis):
            order.append(3)
            await redis.hincrby("made-up:0", "mark", 5)

        steps = {2: second, 3: third}
        await asyncio.gather(*(check_format(client, 3, steps) for client in clients))
        assert order == [2, 3]
        assert await redis.hgetall("made-up:0") == {"name": "n0", "mark": "5"}
        assert await redis.hgetall("made-up:49") == {"name": "n49", "mark": "0"}
        assert await redis.get(FORMAT) == '{"partitions":96,"table":1,"version":3}'
        assert not await redis.exists(MIGRATION)
        with pytest.raises(WrongFormat, match="has format 3, and this version of Roomgraph knows none above 2"):
            await check_format(clients[0], 2, steps)
        for client in clients:
            await client.aclose()


async def test_a_migration_that_dies_half_way_is_finished_by_the_next_node(tmp_path):
    async with bare_redis(tmp_path) as redis:
        await old_data(redis)
        client = connect(f"redis://127.0.0.1:{port_of(redis)}/0")

        async def dies(redis):
            await redis.hsetnx("made-up:7", "mark", "0")
            raise ConnectionError("the node is gone")

        with pytest.raises(ConnectionError):
            await check_format(client, 2, {2: dies})
        assert '"version":1' in str(await redis.get(FORMAT))
        await check_format(client, 2, {2: add_marks})
        assert await redis.hget("made-up:49", "mark") == "0"
        assert '"version":2' in str(await redis.get(FORMAT))
        await client.aclose()


async def test_a_node_that_lost_the_lock_does_not_say_that_it_is_done(tmp_path, monkeypatch):
    async with bare_redis(tmp_path) as redis:
        await old_data(redis)
        client = connect(f"redis://127.0.0.1:{port_of(redis)}/0")
        calls: list[int] = []

        async def paused(redis):
            calls.append(len(calls))
            if len(calls) == 1:  # another node has taken over meanwhile, and is at work
                await redis.set(MIGRATION, "another", px=500)

        await check_format(client, 2, {2: paused})
        assert len(calls) == 2
        assert '"version":2' in str(await redis.get(FORMAT))
        await client.aclose()


async def test_a_step_ends_when_its_node_has_the_lock_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(format_, "RENEW_S", 0.01)
    async with bare_redis(tmp_path) as redis:
        await old_data(redis)
        client = connect(f"redis://127.0.0.1:{port_of(redis)}/0")
        ended = asyncio.Event()
        calls: list[int] = []

        async def endless(redis):
            calls.append(len(calls))
            if len(calls) > 1:
                return
            await redis.set(MIGRATION, "another", px=200)
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with within(30.0, "the step has ended"):
            await check_format(client, 2, {2: endless})
        assert ended.is_set()
        assert len(calls) == 2
        await client.aclose()


async def test_data_that_is_too_old_for_this_version_is_refused_in_words(tmp_path):
    async with bare_redis(tmp_path) as redis:
        await old_data(redis)
        client = connect(f"redis://127.0.0.1:{port_of(redis)}/0")
        with pytest.raises(WrongFormat, match="cannot bring it to 2"):
            await check_format(client, 3, {3: add_marks})
        assert not await redis.exists(MIGRATION)
        await client.aclose()

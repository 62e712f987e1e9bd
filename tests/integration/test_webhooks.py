"""Webhooks: every entry is told at least once, in order in its conversation, though endpoints and nodes fail."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sio_server.gateway.api.hook_lanes import LEASE_MS, HookLanes
from sio_server.gateway.api.webhook_messages import Endpoint
from sio_server.gateway.api.webhooks import Webhooks
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.webhook_type import WebhookType
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import connect
from sio_server.store.keys import DISABLED_HOOKS, hook_state, hooks
from sio_server.store.partitions import PARTITIONS
from sio_server.store.scripts import Scripts
from sio_server.tasks import end_tasks
from tests.conftest import free_ports
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.waiting import Changes, poll

KEY = "a-service-key-that-only-these-tests-use"
HEADERS = {"Authorization": f"Bearer {KEY}"}
SIGNS = base64.b64encode(b"signs-the-webhooks-of-these-tests").decode()


class Receiver:
    """An endpoint: it keeps what it is sent, and answers with `status`."""

    def __init__(self) -> None:
        self.status: Callable[[dict[str, Any]], int] = lambda body: 204
        self.tried: list[dict[str, Any]] = []  # all, in the order in which they came
        self.taken: list[dict[str, Any]] = []  # those that were answered with 2xx
        self.ids: list[str] = []
        self._changes = Changes(lambda: self.tried[-5:])
        self.url = ""

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/hooks", self._on_post)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        port = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}/hooks"
        return runner

    async def _on_post(self, request: web.Request) -> web.Response:
        body = await request.read()
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.digest(base64.b64decode(SIGNS), signed, "sha256")).decode()
        assert request.headers["webhook-signature"] == f"v1,{signature}"
        told = json.loads(body)
        self.tried.append(told)
        status = self.status(told)
        if status < 300:
            self.taken.append(told)
            self.ids.append(request.headers["webhook-id"])
        self._changes.changed()
        return web.Response(status=status)

    async def until(self, holds: Callable[[], Any], timeout: float = 10.0) -> None:
        await self._changes.until(holds, timeout=timeout)

    def seqs(self, conversation_id: str) -> list[int]:
        """What was told of a conversation, in the order of its first telling."""
        found = [one["data"]["seq"] for one in self.taken if one["data"]["conversation_id"] == conversation_id]
        return list(dict.fromkeys(found))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = await receiver.serve()
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        yield session


def told_to(receiver: Receiver, types: str = "") -> dict[str, str]:
    return {
        "SERVICE_KEYS": f"shop:{KEY}",
        "WEBHOOKS": f"shop={receiver.url}{types}",
        "WEBHOOK_SECRETS": f"shop=whsec_{SIGNS}",
        "GRAPH": "echo",
        "WORD_DELAY": "0",
    }


async def post(http: aiohttp.ClientSession, url: str, path: str, body: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    async with http.post(f"{url}/api/v1{path}", json=body, headers=headers) as response:
        assert response.status < 300, await response.text()
        return dict(await response.json())


async def create(http: aiohttp.ClientSession, url: str) -> str:
    body = {"user": {"user_id": "ann"}, "agent": "off"}
    return str((await post(http, url, "/conversations", body))["conversation_id"])


async def state(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with http.get(f"{url}/api/v1/webhooks") as response:
        (endpoint,) = (await response.json())["webhooks"]
    return dict(endpoint)


async def test_an_endpoint_is_told_what_is_appended_in_order_and_again_after_a_failure(
    start_cluster: Any, receiver: Receiver, http: aiohttp.ClientSession
) -> None:
    cluster: LocalCluster = await start_cluster(1, **told_to(receiver))
    (url,) = cluster.urls
    where = await create(http, url)
    failed: list[int] = []

    def refuse_once(told: dict[str, Any]) -> int:
        seq = told["data"]["seq"]
        if seq == 3 and not failed:
            failed.append(seq)
            return 500
        return 204

    receiver.status = refuse_once
    for number in range(3):
        await post(http, url, f"/conversations/{where}/messages", {"text": str(number)})
    run_id = (await post(http, url, f"/conversations/{where}/runs", {"text": "hello"}))["run_id"]
    await receiver.until(lambda: receiver.taken and receiver.taken[-1]["type"] == "run.ended")
    assert failed == [3]
    assert receiver.seqs(where) == [1, 2, 3, 4, 5, 6]
    assert [one["data"]["seq"] for one in receiver.tried] == [1, 2, 3, 3, 4, 5, 6]
    assert len(set(receiver.ids)) == 6
    ended = receiver.taken[-1]
    assert (ended["data"]["data"]["run_id"], ended["timestamp"]) == (run_id, ended["data"]["ts"])

    async def all_told() -> bool:
        now = await state(http, url)
        return (now["waiting"], now["failing"], now["disabled"]) == (0, None, None)

    await poll(all_told, "that nothing waits")
    async with http.delete(f"{url}/api/v1/conversations/{where}") as response:
        assert response.status == 200
    await receiver.until(lambda: receiver.taken[-1]["type"] == "conversation.deleted")
    gone = receiver.taken[-1]["data"]
    assert (gone["conversation_id"], gone["seq"], gone["type"]) == (where, 7, "conversation_deleted")
    assert gone["data"]["by"]["user_id"] == "service:shop"


@pytest.mark.faults
async def test_an_endpoint_that_is_gone_is_disabled_and_continues_when_it_is_enabled(
    start_cluster: Any, receiver: Receiver, http: aiohttp.ClientSession
) -> None:
    cluster: LocalCluster = await start_cluster(1, **told_to(receiver, "#run.ended"))
    (url,) = cluster.urls
    where = await create(http, url)
    receiver.status = lambda told: 410
    await post(http, url, f"/conversations/{where}/runs", {"text": "hello"})

    async def disabled() -> bool:
        return bool((await state(http, url))["disabled"])

    await poll(disabled, "that the endpoint is disabled")
    now = await state(http, url)
    assert (now["disabled"]["reason"], now["failing"]["failures"], now["types"]) == ("HTTP 410", 1, ["run.ended"])
    receiver.status = lambda told: 200
    enabled = await post(http, url, "/webhooks/shop/enable", {})
    assert (enabled["disabled"], enabled["failing"]) == (None, None)
    await receiver.until(lambda: receiver.taken)
    assert [one["type"] for one in receiver.tried] == ["run.ended", "run.ended"]


@pytest.mark.faults
async def test_another_node_delivers_what_a_killed_node_has_left(
    start_cluster: Any, receiver: Receiver, http: aiohttp.ClientSession
) -> None:
    cluster: LocalCluster = await start_cluster(2, **told_to(receiver))
    where = [await create(http, cluster.urls[0]) for _ in range(5)]
    await receiver.until(lambda: len(receiver.taken) == 5)
    receiver.status = lambda told: 503
    for number in range(20):
        await post(http, cluster.urls[1], f"/conversations/{where[number % 5]}/messages", {"text": str(number)})
    await receiver.until(lambda: len(receiver.tried) > 5)
    await cluster.signal_node(cluster.ports[0], signal.SIGKILL)
    receiver.status = lambda told: 204
    await receiver.until(lambda: all(len(receiver.seqs(one)) == 5 for one in where), LEASE_MS / 1000 + 15)
    assert [receiver.seqs(one) for one in where] == [[1, 2, 3, 4, 5]] * 5


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[BoundedRedis]:
    """A Redis without nodes."""
    async with bare_redis(tmp_path) as server, connect(f"redis://127.0.0.1:{port_of(server)}") as client:
        yield client


def of_node(redis: BoundedRedis, *names: str) -> HookLanes:
    """The lanes as a node has them whose WEBHOOKS are these."""
    return HookLanes(Scripts(redis), f"n-{'-'.join(names)}", names)


async def append(redis: BoundedRedis, partition: int, number: int, text: str = "") -> str:
    """What the step that appends an entry adds to the stream of its partition."""
    envelope = (
        f'{{"v":2,"epoch":"e1","seq":{number},"type":"message","ts":"2026-11-23T07:12:00.844Z","text":"{text}"}}'
    )
    return str(await redis.xadd(hooks(partition), {"c": f"c{partition}", "t": "message", "e": envelope}))


async def test_a_node_that_does_not_know_an_endpoint_yet_drops_nothing_of_it(redis: BoundedRedis) -> None:
    """As during a rolling start with another endpoint in WEBHOOKS."""
    old, new = of_node(redis, "a"), of_node(redis, "a", "b")
    await old.open()
    await new.open()
    ids = [await append(redis, 0, number) for number in range(1, 4)]
    lane, other = old.all[0], next(lane for lane in new.all if lane.name == "b")
    await old.take([lane])
    await old.settle(lane, position=ids[-1])
    assert await old.bound(()) == 3
    taken, _ = await new.take([other])
    assert ([entry.id for entry in taken[other].entries], taken[other].lost) == (ids, None)
    await new.settle(other, position=ids[1])
    assert [one async for one in entry_ids(redis)] == ids[1:]
    assert await old.bound(()) == 1


async def entry_ids(redis: BoundedRedis) -> AsyncIterator[str]:
    kept: Any = await redis.xrange(hooks(0))
    for entry_id, _ in kept:
        yield str(entry_id)


async def test_an_endpoint_that_no_node_has_had_for_long_is_forgotten_and_holds_nothing(
    redis: BoundedRedis,
) -> None:
    lanes = of_node(redis, "a", "gone")
    await lanes.open()
    position = await append(redis, 0, 1)
    await append(redis, 0, 2)
    await redis.hset(hook_state(0), "gone until", "1")
    assert await lanes.bound(()) == 2
    state: Any = await redis.hgetall(hook_state(0))
    assert {name for name in state if name.startswith("gone")} == set()
    await lanes.take([lanes.all[0]])
    await lanes.settle(lanes.all[0], position=position)
    assert await lanes.bound(()) == 1


async def test_what_waits_is_bounded_in_bytes_and_the_loss_is_told_once(
    redis: BoundedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sio_server.gateway.api.hook_lanes.MAX_KEPT_BYTES", 100_000)
    lanes = of_node(redis, "a")
    await lanes.open()
    for number in range(20):
        await append(redis, 0, number, "x" * 20_000)
    kept = await lanes.bound(())
    assert 1 <= kept <= 5
    lane = lanes.all[0]
    first, _ = await lanes.take([lane])
    assert (len(first[lane].entries), first[lane].lost is not None) == (kept, True)
    again, _ = await lanes.take([lane])
    assert (len(again[lane].entries), again[lane].lost) == (kept, None)


async def test_nothing_is_kept_for_an_endpoint_that_is_told_nothing(redis: BoundedRedis) -> None:
    lanes = of_node(redis, "a", "off")
    await lanes.open()
    ids = [await append(redis, 0, number) for number in range(1, 4)]
    lane, off = lanes.all[0], next(lane for lane in lanes.all if lane.name == "off")
    await lanes.take([lane])
    await lanes.settle(lane, position=ids[-1], disabled={"off"})
    assert [one async for one in entry_ids(redis)] == ids[-1:]
    taken, _ = await lanes.take([off])
    assert taken[off].lost is not None


async def test_slow_endpoints_do_not_use_up_the_connections_to_others(redis: BoundedRedis) -> None:
    lanes, may_answer = of_node(redis, "slow", "slower", "well"), asyncio.Event()
    well = Changes()
    told: set[str] = set()

    async def answer_late(request: web.Request) -> web.Response:
        await may_answer.wait()
        return web.Response()

    async def answer(request: web.Request) -> web.Response:
        told.add(request.headers["webhook-id"])
        well.changed()
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/late", answer_late), web.post("/now", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=500).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    paths = {"slow": "late", "slower": "late", "well": "now"}
    endpoints = [Endpoint(name, f"{url}/{path}", [b"k"], frozenset(WebhookType)) for name, path in paths.items()]
    await lanes.open()
    for partition in range(PARTITIONS):
        await append(redis, partition, 1)
    outcomes: list[tuple[str, str]] = []
    webhooks = Webhooks(endpoints, lanes, time.time, lambda name, outcome: outcomes.append((name, outcome)))
    delivering = asyncio.create_task(webhooks.run())
    await well.until(lambda: len(told) == PARTITIONS, "all of the endpoint that answers")
    may_answer.set()
    await end_tasks([delivering])
    await runner.cleanup()
    assert [outcome for name, outcome in outcomes if name == "well" and outcome != "delivered"] == []


async def test_lanes_are_taken_over_while_it_cannot_be_read_which_endpoints_are_disabled(
    redis: BoundedRedis, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a Redis Cluster that is on one shard, and the lanes on all."""
    monkeypatch.setattr("sio_server.gateway.api.webhooks.TAKE_OVER_S", 0.01)
    other, lanes = HookLanes(Scripts(redis), "n1", ["shop"]), HookLanes(Scripts(redis), "n2", ["shop"])
    await other.open()
    await other.take(other.all)
    await append(redis, 0, 1)
    await redis.set(DISABLED_HOOKS, "no hash")
    endpoint = Endpoint("shop", receiver.url, [base64.b64decode(SIGNS)], frozenset(WebhookType))
    webhooks = Webhooks([endpoint], lanes, time.time, lambda name, outcome: None)
    delivering = asyncio.create_task(webhooks.run())
    await poll(lambda: webhooks._held == set(lanes.all), "that the other node has them all")
    await other.release(other.all)
    await receiver.until(lambda: receiver.taken)
    await end_tasks([delivering])


async def test_a_lane_in_which_nothing_waits_is_looked_at_without_a_write(redis: BoundedRedis) -> None:
    """Each write goes to the replicas and to the append-only file."""
    lanes = HookLanes(Scripts(redis), "n1", ["shop"])
    await lanes.open()
    lane, other = lanes.all[0], HookLanes(Scripts(redis), "n2", ["shop"])
    await lanes.take([lane])
    kept = await redis.hgetall(hook_state(lane.partition))
    await lanes.take([lane])
    assert await redis.hgetall(hook_state(lane.partition)) == kept
    assert await other.take([lane]) == ({}, {lane})
    # When half of the lease is over it is renewed; released, it is anybody's.
    field = "shop until"
    soon = int(kept[field]) - LEASE_MS // 2 - 1
    await redis.hset(hook_state(lane.partition), field, str(soon))
    await lanes.take([lane])
    assert int(await redis.hget(hook_state(lane.partition), field) or 0) > soon
    await lanes.release([lane])
    taken, held = await other.take([lane])
    assert (list(taken), held) == ([lane], set())

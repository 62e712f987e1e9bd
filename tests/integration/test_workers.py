"""Workers share a port: each is a node, one that ends is started again, and readiness is that of all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sio_clients import ChatClient, guest_token
from sio_server.cluster.status import read_status
from sio_server.local.cluster import LocalCluster
from sio_server.store.connection import connect
from tests.conftest import NODE_SETTINGS, free_ports
from tests.waiting import first_of, poll

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2


class Group:
    """A parent with its workers."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.own_urls = [f"http://127.0.0.1:{port + 1 + number}" for number in range(WORKERS)]

    async def shows(self, words: str) -> str:
        assert self.process.stderr is not None
        return (await first_of(self.process.stderr, lambda line: words in line.decode(), words, 60)).decode()

    def pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return sorted(int(pid) for pid in children.read_text().split())


async def start(redis_url: str, port: int, **settings: str) -> Process:
    given = {
        **NODE_SETTINGS,
        **{"REDIS_URL": redis_url, "PORT": str(port), "HOST": "127.0.0.1", "WORKER_PORTS": str(port + 1)},
        **{"NODE_NAME": f"g{port}", "DRAIN_GRACE": "0", "PYTHONPATH": str(ROOT)},
        **settings,
    }
    command = (sys.executable, "-m", "roomgraph", "node", "--workers", str(WORKERS))
    return await asyncio.create_subprocess_exec(*command, env={**os.environ, **given}, stdout=PIPE, stderr=PIPE)


@asynccontextmanager
async def running(redis_url: str, **settings: str) -> AsyncIterator[Group]:
    port = free_ports(1 + WORKERS)
    group = Group(await start(redis_url, port, **settings), port)
    try:
        await group.shows(f"with {WORKERS} workers")
        yield group
    finally:
        if group.process.returncode is None:
            group.process.terminate()
        await asyncio.wait_for(group.process.communicate(), 30)


@pytest.fixture(scope="module")
async def group(cluster: LocalCluster) -> AsyncIterator[Group]:
    async with running(cluster.redis_url) as group:
        yield group


async def get(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        text = await response.text()
    return response.status, json.loads(text) if text.startswith("{") else text


async def names(cluster: LocalCluster, group: Group) -> set[str]:
    redis = connect(cluster.redis_url)
    try:
        status = await read_status(redis)
    finally:
        await redis.aclose()
    return {str(node["name"]) for node in status["nodes"] if str(node["name"]).startswith(f"g{group.port}.")}


async def test_each_worker_is_a_node_with_a_name_of_its_own(cluster: LocalCluster, group: Group) -> None:
    assert await names(cluster, group) == {f"g{group.port}.1", f"g{group.port}.2"}
    assert [(await get(f"{url}/healthz"))[1]["node"] for url in group.own_urls] == sorted(
        await names(cluster, group)
    )
    status, report = await get(f"{group.url}/ready")
    assert (status, report["ready"], report["workers"]) == (200, True, {})


async def test_clients_that_came_to_different_workers_share_a_conversation(group: Group) -> None:
    clients = []
    try:
        for url in (*group.own_urls, group.url):
            _, token = await guest_token(url, "Ann")
            clients.append(ChatClient([url], token))
            await clients[-1].connect()
        conversation = await clients[0].create(access="open", agent="off", conversation_id=f"shared-{group.port}")
        others = [await client.join(conversation.id) for client in clients[1:]]
        ack = await conversation.send("hello")
        for other in others:
            await poll_until(lambda other=other: other.position.seq >= ack.seq)
    finally:
        for client in clients:
            await client.close()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def poll_until(holds: Any) -> None:
    async def does() -> bool:
        return bool(holds())

    await poll(does, "what was waited for", 10)


async def test_metrics_are_those_of_a_worker_and_refused_where_any_would_answer(group: Group) -> None:
    status, refused = await get(f"{group.url}/metrics")
    assert (status, "WORKER_PORTS" in refused["error"]["message"]) == (400, True)
    for number, url in enumerate(group.own_urls, start=1):
        assert f'node="g{group.port}.{number}"' in (await get(f"{url}/metrics"))[1]


@pytest.mark.faults
async def test_a_worker_that_dies_is_started_again(cluster: LocalCluster, group: Group) -> None:
    before = group.pids()
    assert len(before) == WORKERS
    os.kill(before[0], signal.SIGKILL)
    assert "status=-9" in await group.shows("a worker has ended")

    async def is_back() -> bool:
        try:
            return (
                len(group.pids()) == WORKERS
                and [(await get(f"{url}/ready"))[0] for url in group.own_urls] == [200] * WORKERS
            )
        except aiohttp.ClientError:
            return False

    await poll(is_back, "the worker", 30)
    assert len(set(before) & set(group.pids())) == WORKERS - 1


@pytest.mark.faults
async def test_one_worker_that_hangs_makes_the_port_not_ready(group: Group) -> None:
    hanging = group.pids()[0]
    os.kill(hanging, signal.SIGSTOP)
    try:

        async def is_told() -> bool:
            for url in group.own_urls:  # the shared port may lead to the one that hangs
                try:
                    async with asyncio.timeout(1):
                        status, report = await get(f"{url}/ready")
                except (aiohttp.ClientError, TimeoutError):
                    continue
                return status == 200 and report["ready"]
            return False

        await poll(is_told, "the other worker, by itself", 20)

        async def not_ready() -> bool:
            try:
                async with asyncio.timeout(1):
                    return "silent" in (await get(f"{group.url}/ready"))[1].get("workers", {}).values()
            except (aiohttp.ClientError, TimeoutError):
                return False

        await poll(not_ready, "the port that is not ready", 20)
    finally:
        os.kill(hanging, signal.SIGCONT)


@pytest.mark.faults
async def test_sigterm_to_the_parent_ends_all_workers_in_order(cluster: LocalCluster) -> None:
    async with running(cluster.redis_url) as group:
        pids = group.pids()
        assert len(await names(cluster, group)) == WORKERS
        group.process.terminate()
        assert await asyncio.wait_for(group.process.wait(), 30) == 0
        assert not alive(pids)
        assert await names(cluster, group) == set(), "they have signed off"


@pytest.mark.faults
async def test_a_wrong_setting_and_a_port_that_is_in_use_end_the_parent(
    group: Group, cluster: LocalCluster
) -> None:
    for port, settings, said in (
        (group.port, {}, "PORT: write a number that is free"),
        (free_ports(1 + WORKERS), {"GRAPH": "no_such_module:graph"}, "there is no module no_such_module"),
    ):
        process = await start(cluster.redis_url, port, **settings)
        _, errors = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode, said in errors.decode()) == (2, True), errors.decode()

"""Malformed frames as fast as a node takes them: it lives, leaks nothing, logs little, and serves the others.

FRAMES and SEED in the environment choose how many and which; SOAK=1 means a million.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from functools import partial
from itertools import count

import aiohttp
import pytest

from sio_clients import ChatClient, Entry, guest_token
from sio_server.local.cluster import LocalCluster
from tests.faults.malformed import Chance, seed_of_environment
from tests.faults.nodes import SOAK, log_file, megabytes, metrics, ms, quantile
from tests.faults.raw_websocket import RawWebSocket, frame
from tests.waiting import Inbox, first_of, poll

pytestmark = pytest.mark.faults

FRAMES = int(os.environ.get("FRAMES", "1000000" if SOAK else "30000"))
ATTACKERS = 16
BATCH = 120  # bearable frames, then one that ends the connection, or should
END_S = 10.0  # for a connection to be ended, or to answer as before
REST_S = 3.0  # of what is compared


class Attacker:
    """Opens one connection after the other and sends what a seed says."""

    def __init__(self, cluster: LocalCluster, seed: str, token: str) -> None:
        self.port = cluster.ports[0]
        self.chance = Chance(seed)
        self.seed = seed
        self.token = token
        self.frames = 0
        self.connections = 0
        self.survived = 0  # the frame that should have ended a connection did not
        self.stuck: list[str] = []

    async def run(self, frames: int) -> None:
        while self.frames < frames:
            self.connections += 1
            with RawWebSocket(self.port) as client:
                with contextlib.suppress(OSError):
                    if self.connections % 5 == 0:
                        await client.connect()
                        await self._bad_request(client)
                    elif self.connections % 5 == 1:
                        await client.connect()
                        await client.upgrade()
                        await self._batch(client, session=False)
                    else:
                        await client.open(self.token, f"mallory-{self.connections % 50}")
                        await self._batch(client, session=True)

    async def _bad_request(self, client: RawWebSocket) -> None:
        self.frames += 1
        await client.write(self.chance.request(self.port))
        with contextlib.suppress(TimeoutError):  # an unfinished one has its time; see test_request_timeouts
            async with asyncio.timeout(0.2):
                while await client.read(65536):
                    pass

    async def _batch(self, client: RawWebSocket, *, session: bool) -> None:
        frames = [self.chance.bearable() for _ in range(BATCH)]
        probe = b'42777000777["conversation:list",{}]'
        reading = asyncio.create_task(self._read(client, b"43777000777["))
        try:
            for number in range(0, BATCH, 20):
                await client.write(b"".join(frames[number : number + 20]))
            self.frames += BATCH + 1
            if session:
                await client.write(frame(probe))
                await self._answer(reading, f"after {BATCH} bearable frames")
                reading = asyncio.create_task(self._read(client, b"43777000777["))
            last = self.chance.fatal()
            await client.write(last)
            if session:
                await client.write(frame(probe))
                with contextlib.suppress(TimeoutError):
                    # What looks like the head of a longer frame takes the rest as its body: it may wait for ever.
                    self.survived += await asyncio.wait_for(asyncio.shield(reading), 0.5)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _answer(self, reading: asyncio.Task[bool], what: str) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(reading), END_S)
        except TimeoutError:
            self.stuck.append(f"{self.seed}, connection {self.connections}: neither answered nor closed {what}")
            raise ConnectionError from None

    async def _read(self, client: RawWebSocket, until: bytes) -> bool:
        """Read all that comes; True at this answer, False at the end of the connection."""
        try:
            while True:
                _, payload = await client.receive()
                if payload.startswith(until):
                    return True
        except OSError:
            return False


def _says(text: str, entry: Entry) -> bool:
    return entry.text == text


class Pair:
    """Two devices on two nodes, one of which writes: how long what it writes takes to come to the other."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self.latencies: Inbox[tuple[float, float]] = Inbox()  # when it was sent, how long it took

    async def run(self) -> None:
        urls = self._cluster.urls
        _, token = await guest_token(urls[0], "Ann")
        async with ChatClient(urls[0], token) as writer, ChatClient(urls[1], token) as reader:
            talk = await writer.create("talk", agent="off")
            heard = await reader.join(talk.id)
            entries = heard.entries()
            for number in count():
                sent = time.monotonic()
                await talk.send(str(number))
                await first_of(entries, partial(_says, str(number)))
                self.latencies((sent, time.monotonic() - sent))
                await asyncio.sleep(0.01)  # the rate of the writer

    def between(self, began: float, ended: float) -> list[float]:
        return [seconds for sent, seconds in self.latencies.items if began <= sent < ended]


async def settled(port: int, tasks: float) -> float:
    """Wait until the node has no more tasks than that, for as long as a ping may be under way; how many it has."""

    async def left() -> float | None:
        now = (await metrics(port))["roomgraph_tasks"]
        return now if now <= tasks else None

    return float(await poll(left, f"no more tasks than {tasks:.0f}"))


@pytest.mark.timeout(3600 if FRAMES > 50_000 else 120)
async def test_malformed_frames_hurt_nobody(start_cluster):
    cluster = await start_cluster(nodes=2)
    port, log, seed = cluster.ports[0], log_file(cluster, cluster.ports[0]), seed_of_environment()
    _, token = await guest_token(cluster.urls[0], "Mallory")
    await Attacker(cluster, f"{seed} warm", token).run(500)  # what is loaded and kept once
    pair = Pair(cluster)
    talking = asyncio.create_task(pair.run())
    await pair.latencies.first(what="the first message")
    quiet_from = time.monotonic()
    await asyncio.sleep(REST_S)
    quiet_until = time.monotonic()
    await asyncio.sleep(5)  # the warm-up's last pings
    tasks, memory, logged = (await metrics(port))["roomgraph_tasks"], megabytes(cluster, port), log.stat().st_size

    attackers = [Attacker(cluster, f"{seed} {number}", token) for number in range(ATTACKERS)]
    began = time.monotonic()
    await asyncio.gather(*(attacker.run(FRAMES // ATTACKERS) for attacker in attackers))
    ended = time.monotonic()
    left = await settled(port, tasks)
    after = megabytes(cluster, port)
    talking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await talking

    frames = sum(attacker.frames for attacker in attackers)
    connections = sum(attacker.connections for attacker in attackers)
    grown = log.stat().st_size - logged
    at_rest, beside = pair.between(quiet_from, quiet_until), pair.between(began, ended)
    print(f"\nseed {seed}: {frames} frames on {connections} connections in {ended - began:.1f} s")
    print(f"tasks {tasks:.0f} before, {left:.0f} after; memory {memory:.1f} MB before, {after:.1f} MB after")
    print(f"log: {grown} bytes; others, send to delivery: {ms(at_rest)} at rest; {ms(beside)} meanwhile")
    assert cluster.is_running(port)
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/ready") as response:
        assert response.status == 200
    assert [stuck for attacker in attackers for stuck in attacker.stuck] == []
    assert left <= tasks
    assert after - memory < 40
    assert grown < 64 * 1024 * (1 + (ended - began) / 10)
    assert "Traceback" not in log.read_text()
    assert quantile(beside, 0.99) < max(2 * quantile(at_rest, 0.99), 2.0)

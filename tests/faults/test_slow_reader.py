"""A device that does not read costs a small queue, is ended within seconds, is told why later, and catches up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from roomgraph.check import Recorder
from roomgraph.check.recording import RecordedDevice
from sio_clients import ChatClient, guest_token
from sio_server.local.cluster import LocalCluster
from sio_server.local.proxy import Proxy
from tests.faults.nodes import SOAK, megabytes, metrics, ms, quantile
from tests.faults.raw_websocket import PROBE_S, RawWebSocket
from tests.waiting import poll

pytestmark = pytest.mark.faults

SLOW = 200 if SOAK else 50
OTHERS = 6
CLOSED_WITHIN_S = 5.0
TEXT_BYTES = 8_000


class Traffic:
    """Devices on all nodes that write to one conversation, at a steady rate, until it is stopped."""

    def __init__(self, devices: list[RecordedDevice], conversation_id: str, rate: float) -> None:
        self.devices = devices
        self.conversation_id = conversation_id
        self.rate = rate
        self.failed = 0
        self._sent: dict[str, float] = {}  # text -> when
        self._stop = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for device in self.devices[:3]:
                tasks.create_task(self._write(device))

    def stop(self) -> None:
        self._stop.set()

    async def _write(self, device: RecordedDevice) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        number = 0
        while not self._stop.is_set():
            number += 1
            text = f"{device.name} {number} ".ljust(TEXT_BYTES, "x")
            self._sent[text] = loop.time()
            await device.send(self.conversation_id, text)
            due = max(due + 3 / self.rate, loop.time() - 1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), max(0, due - loop.time()))

    def latencies(self, began: float, ended: float) -> list[float]:
        """Send to delivery, on every device, of what was sent in this time."""
        times: list[float] = []
        for device in self.devices:
            for entry in device.entries[self.conversation_id]:
                sent = self._sent.get(entry.text)
                if sent is not None and began <= sent < ended:
                    times.append(device.arrived[entry.data["request_id"]] - sent)
        return times


@asynccontextmanager
async def traffic(cluster: LocalCluster, rate: float) -> AsyncIterator[Traffic]:
    """A busy conversation with devices on all nodes."""
    recorder = Recorder()
    devices: list[RecordedDevice] = []
    count = len(cluster.ports)
    urls = [f"http://127.0.0.1:{port}" for port in cluster.ports]
    try:
        for index in range(OTHERS):
            _, token = await guest_token(urls[index % count], f"Dev {index}")
            client = ChatClient(urls[index % count :] + urls[: index % count], token)
            devices.append(RecordedDevice(f"device-{index}", client, recorder))
            await client.connect()
        conversation = await devices[0].create("busy", agent="off")
        for device in devices[1:]:
            await device.join(conversation.id)
        busy = Traffic(devices, conversation.id, rate)
        running = asyncio.create_task(busy.run())
        try:
            yield busy
        finally:
            busy.stop()
            await running
    finally:
        await asyncio.gather(*(device.close() for device in devices))


async def sip(client: RawWebSocket) -> None:
    """Read one byte a second."""
    with contextlib.suppress(OSError):
        while await client.read(1):  # noqa: ASYNC110
            await asyncio.sleep(1)  # the rate at which it reads


async def join(client: RawWebSocket, token: str, device_id: str, conversation_id: str) -> None:
    """Begin a session that follows the conversation."""
    await client.open(token, device_id)
    request = {"request_id": f"join-{device_id}", "conversation_id": conversation_id}
    assert (await client.call("conversation:join", request))["ok"]


class Round:
    """Devices that join the conversation and read nothing of it from then on, a fifth of them a byte a second."""

    def __init__(self, port: int, tokens: dict[str, str], memory: Callable[[], float]) -> None:
        self.port = port
        self.tokens = tokens
        self.memory = memory
        self.closed_after: list[float] = []
        self.peak = memory()
        self.began = self.ended = 0.0

    async def run(self, conversation_id: str) -> None:
        """Until the node has ended all of them, or has had more than enough time for it."""
        now = asyncio.get_running_loop().time
        stopped: dict[str, float] = {}
        sippers: list[asyncio.Task[None]] = []
        with ExitStack() as sockets:
            slow = {
                name: sockets.enter_context(RawWebSocket(self.port, receive_buffer=32768)) for name in self.tokens
            }
            for name, client in slow.items():
                await join(client, self.tokens[name], name, conversation_id)
                stopped[name] = now()
                if len(sippers) < SLOW // 5:
                    sippers.append(asyncio.create_task(sip(client)))
            self.began = now()  # none of them reads; what they were sent on joining is no part of it
            while slow and now() - self.began < 2 * CLOSED_WITHIN_S:
                await asyncio.sleep(0.02)  # the resolution of what is measured
                self.peak = max(self.peak, self.memory())
                for name in [name for name, client in slow.items() if client.disconnected]:
                    self.closed_after.append(now() - stopped[name])
                    del slow[name]
            self.ended = now()
            for sipper in sippers:
                sipper.cancel()
            await asyncio.gather(*sippers, return_exceptions=True)


@pytest.mark.parametrize(("rate", "reason"), [(90, "too_far_behind"), (20, "not_reading")])
async def test_a_client_that_does_not_read_is_disconnected_soon_and_costs_nobody_anything(
    start_cluster, rate, reason
):
    cluster = await start_cluster(nodes=2)
    port = cluster.ports[0]
    now = asyncio.get_running_loop().time

    def memory() -> float:
        return megabytes(cluster, port)

    async with traffic(cluster, rate) as busy:
        url = f"http://127.0.0.1:{port}"
        tokens = {f"slow-{number}": (await guest_token(url, "Slow"))[1] for number in range(SLOW)}
        first = Round(port, tokens, memory)  # so many sessions have a price of their own, once
        await first.run(busy.conversation_id)
        quiet_from = now()
        await asyncio.sleep(3)  # the length of what is compared
        quiet_until = now()
        before = memory()
        again = [Round(port, tokens, memory) for _ in range(5 if SOAK else 1)]
        for one in again:
            await one.run(busy.conversation_id)
        await asyncio.sleep(1)  # the node has its memory back
        after = memory()
        peak = max(one.peak for one in again)
        closed_after = [seconds for one in again for seconds in one.closed_after]
        drops = await metrics(port)
        at_rest = busy.latencies(quiet_from, quiet_until)
        beside = [seconds for one in again for seconds in busy.latencies(one.began, one.ended)]
        print(f"\n{SLOW} that do not read {rate * TEXT_BYTES / 1000:.0f} kB/s: {reason}")
        print(f"closed after {ms(closed_after)}")
        print(f"memory of the node: {before:.1f} MB before, {peak:.1f} MB at most, {after:.1f} MB after")
        print(f"others, send to delivery: {ms(at_rest)} before; {ms(beside)} meanwhile")
        assert len(first.closed_after) == SLOW
        assert len(closed_after) == SLOW * len(again)
        assert max(closed_after) < CLOSED_WITHIN_S + PROBE_S
        assert drops[f'roomgraph_drops_total{{reason="{reason}"}}'] == SLOW * (1 + len(again))
        assert peak - before < SLOW  # MB
        assert after - before < 10
        assert quantile(beside, 0.99) < max(2 * quantile(at_rest, 0.99), 0.5)

        # Each of them comes back, to any node, and is told once why it was disconnected.
        for number, name in enumerate(list(tokens)[:: SLOW // 5]):
            with RawWebSocket(cluster.ports[number % 2]) as returned:
                assert (await returned.open(tokens[name], name))["last_end"]["reason"] == reason
            with RawWebSocket(cluster.ports[(number + 1) % 2]) as returned:
                assert (await returned.open(tokens[name], name))["last_end"] is None


async def test_a_device_whose_line_stands_still_catches_up_when_it_moves_again(start_cluster):
    cluster = await start_cluster(nodes=2)
    line = Proxy([("127.0.0.1", cluster.ports[0])])
    await line.start()
    recorder = Recorder()
    url = f"http://127.0.0.1:{line.port}"
    try:
        async with traffic(cluster, 90) as busy:
            _, token = await guest_token(url, "Behind")
            async with ChatClient(url, token) as client:
                ends: list[dict[str, Any]] = []
                client.on("session:opened", lambda ready: ends.append(ready["last_end"]))
                device = RecordedDevice("behind", client, recorder)
                await device.join(busy.conversation_id)
                line.down.blackhole = True

                async def is_dropped() -> bool:
                    return any("_drops_total" in name for name in await metrics(cluster.ports[0]))

                await poll(is_dropped, "the end of the connection", 2 * CLOSED_WITHIN_S)
                line.down.blackhole = False
                busy.stop()
                head = (await busy.devices[0].conversation(busy.conversation_id).log())[-1].seq
                assert await device.reaches(busy.conversation_id, head, 10)
                entries = device.entries[busy.conversation_id]
                assert [entry.seq for entry in entries] == list(range(entries[0].seq, entries[-1].seq + 1))
                assert [end["reason"] for end in ends] == ["too_far_behind"]
                await device.close()
    finally:
        await line.close()

"""A device that does not read costs a small queue, is ended within seconds, is told why later, and catches up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from sio_clients import ChatClient, guest_token
from sio_clients.check.history import Recorder
from sio_clients.check.recording import RecordedDevice
from sio_server.cluster.local import LocalCluster
from sio_server.cluster.proxy import Proxy
from tests.faults.nodes import SOAK, log_file, megabytes, metrics, ms, quantile
from tests.faults.raw_websocket import RawWebSocket

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
                    times.append(device.arrived[entry.data["client_id"]] - sent)
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
            await asyncio.sleep(1)


async def join(client: RawWebSocket, token: str, device_id: str, conversation_id: str) -> None:
    """Begin a session that follows the conversation."""
    await client.open(token, device_id)
    assert (await client.call("conversation:join", {"conversation_id": conversation_id}))["ok"]


@pytest.mark.parametrize(("rate", "reason"), [(90, "too_far_behind"), (20, "not_reading")])
async def test_who_does_not_read_is_ended_soon_and_costs_nobody_anything(start_cluster, rate, reason):
    cluster = await start_cluster(nodes=2)
    port = cluster.ports[0]
    loop = asyncio.get_running_loop()
    async with traffic(cluster, rate) as busy, AsyncExitStack() as sockets:
        tokens = {f"slow-{n}": (await guest_token(f"http://127.0.0.1:{port}", "Slow"))[1] for n in range(SLOW)}
        for device_id, token in tokens.items():  # what so many sessions cost that do read
            with RawWebSocket(port) as client:
                await join(client, token, device_id, busy.conversation_id)
        quiet_from = loop.time()
        await asyncio.sleep(3)  # the length of what is compared
        quiet_until = loop.time()
        before = peak = megabytes(cluster, port)

        stopped: dict[str, float] = {}
        closed: dict[str, float] = {}
        sippers: list[asyncio.Task[None]] = []
        slow = {device_id: sockets.enter_context(RawWebSocket(port, receive_buffer=32768)) for device_id in tokens}
        for device_id, client in slow.items():
            await join(client, tokens[device_id], device_id, busy.conversation_id)
            stopped[device_id] = loop.time()
            if len(sippers) < SLOW // 5:
                sippers.append(asyncio.create_task(sip(client)))
        while len(closed) < SLOW and loop.time() - max(stopped.values()) < 2 * CLOSED_WITHIN_S:
            await asyncio.sleep(0.02)
            peak = max(peak, megabytes(cluster, port))
            for device_id, client in slow.items():
                if device_id not in closed and client.broken_off:
                    closed[device_id] = loop.time() - stopped[device_id]
        busy_until = loop.time()
        await asyncio.sleep(1)  # the node has its memory back
        after = megabytes(cluster, port)
        for sipper in sippers:
            sipper.cancel()
        drops = await metrics(port)
        at_rest = busy.latencies(quiet_from, quiet_until)
        beside = busy.latencies(min(stopped.values()), busy_until)
        print(f"\n{SLOW} that do not read {rate * TEXT_BYTES / 1000:.0f} kB/s: {reason}")
        print(f"closed after {ms(list(closed.values()))}")
        print(f"memory of the node: {before:.1f} MB before, {peak:.1f} MB at most, {after:.1f} MB after")
        print(f"others, send to delivery: {ms(at_rest)} before; {ms(beside)} meanwhile")
        assert len(closed) == SLOW
        assert max(closed.values()) < CLOSED_WITHIN_S
        assert drops[f'roomgraph_drops_total{{reason="{reason}"}}'] == SLOW
        assert peak - before < SLOW * 1.25
        assert after - before < 10
        assert quantile(beside, 0.99) < max(2 * quantile(at_rest, 0.99), 0.25)
        assert log_file(cluster, port).read_text().count(f"reason={reason}") <= 20  # lines of one kind are bounded

        # Each of them comes back and is told why it was ended.
        for device_id in list(slow)[:: SLOW // 5]:
            with RawWebSocket(port) as returned:
                assert (await returned.open(tokens[device_id], device_id))["last_end"]["reason"] == reason


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
                ends: list[dict] = []
                client.on("session:ready", lambda ready: ends.append(ready["last_end"]))
                device = RecordedDevice("behind", client, recorder)
                await device.join(busy.conversation_id)
                line.down.blackhole = True
                deadline = time.monotonic() + 2 * CLOSED_WITHIN_S
                while not any("_drops_total" in name for name in await metrics(cluster.ports[0])):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
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

"""Devices that write in a row while something goes wrong, recorded for the history checker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from roomgraph.check import Recorder, Report, check
from roomgraph.check.recording import RecordedDevice
from sio_clients import ChatClient, RoomgraphError, guest_token
from sio_clients.transport import Transport
from sio_server.local.cluster import LocalCluster
from tests.waiting import Changes


class Load:
    """Devices in one conversation; each writes until it is told to stop."""

    def __init__(self, recorder: Recorder, devices: list[RecordedDevice], conversation_id: str) -> None:
        self.recorder = recorder
        self.devices = devices
        self.conversation_id = conversation_id
        self.unknown = 0
        self.acked = 0
        self._changes = Changes(lambda: f"{self.acked} acks, {self.unknown} unknown")
        self._stopping = False
        self._writers: list[asyncio.Task[None]] = []

    def start(self, pause_s: float = 0.02) -> None:
        """Begin to write."""
        self._writers = [asyncio.create_task(self._write(device, pause_s)) for device in self.devices]

    async def until_acked(self, more: int, timeout: float = 20.0) -> None:
        """Wait until so many more messages have been acked."""
        wanted = self.acked + more
        await self._changes.until(lambda: self.acked >= wanted, f"{more} more acks", timeout)

    async def stop(self) -> None:
        """Write no more, and wait for the acks of what was written."""
        self._stopping = True
        await asyncio.gather(*self._writers)

    async def judge(self, timeout: float = 10.0) -> None:
        """Everybody has what the log has, nothing was lost, doubled or reordered, and no send stayed unknown."""
        report = await self.report(timeout)
        assert report.anomalies == (), report.anomalies
        assert self.unknown == 0, "the SDK repairs every send"
        assert report.acked == report.sent > 0

    async def report(self, timeout: float = 10.0) -> Report:
        """What the checker says, when everybody has what the log has."""
        log = await self.devices[0].record_log(self.conversation_id)
        for device in self.devices:
            assert await device.reaches(self.conversation_id, log[-1].seq, timeout), f"{device.name} is behind"
            self.recorder.settle(device.name, self.conversation_id)
        return check(self.recorder.history())

    async def _write(self, device: RecordedDevice, pause_s: float) -> None:
        number = 0
        while not self._stopping:
            number += 1
            try:
                await device.send(self.conversation_id, f"{device.name} {number}")
            except RoomgraphError:
                self.unknown += 1
            self.acked += 1
            self._changes.changed()
            await asyncio.sleep(pause_s)  # the rate of the load


@asynccontextmanager
async def loaded(cluster: LocalCluster, devices: int) -> AsyncIterator[Load]:
    """So many devices, spread over the nodes, in one conversation."""
    recorder = Recorder()
    joined: list[RecordedDevice] = []
    try:
        for number in range(devices):
            at = number % len(cluster.urls)
            urls = cluster.urls[at:] + cluster.urls[:at]
            _, token = await guest_token(urls[0], f"Device {number}")
            client = ChatClient(urls, token, give_up_after=40)
            await client.connect()
            joined.append(RecordedDevice(f"device-{number}", client, recorder))
        conversation = await joined[0].create("load", agent="off")
        for device in joined[1:]:
            await device.join(conversation.id)
        yield Load(recorder, joined, conversation.id)
    finally:
        await asyncio.gather(*(device.close() for device in joined))


@asynccontextmanager
async def requests_timed() -> AsyncIterator[list[tuple[str, float]]]:
    """How long each request of the SDK waited for its answer or its refusal: (event, seconds)."""
    took: list[tuple[str, float]] = []
    request = Transport.request

    async def timed(self, event, payload, timeout):
        began = asyncio.get_running_loop().time()
        try:
            return await request(self, event, payload, timeout)
        finally:
            took.append((str(event), asyncio.get_running_loop().time() - began))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "request", timed)
        yield took

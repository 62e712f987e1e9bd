"""A node cut off from Redis says so and sends its devices to nodes that are well, where they miss nothing."""

from __future__ import annotations

import asyncio
import time

import pytest

from sio_clients import ChatClient, guest_token
from sio_clients.check import Recorder, check
from sio_clients.check.recording import RecordedDevice
from tests.faults.networks import cut_off, heal
from tests.integration.test_bus import ready, until_ready

pytestmark = pytest.mark.faults

NOTICED_S = 5.0  # promise P11


async def devices_on(cluster, node: int, count: int, recorder: Recorder) -> list[RecordedDevice]:
    """Devices that are connected to a node and know the others."""
    urls = cluster.urls[node:] + cluster.urls[:node]
    devices = []
    for number in range(count):
        _, token = await guest_token(urls[0], f"On {node} {number}")
        client = ChatClient(urls, token)
        await client.connect()
        devices.append(RecordedDevice(f"device-{node}-{number}", client, recorder))
    return devices


@pytest.mark.parametrize("way", ["up", "down", "both"])
async def test_the_devices_of_a_node_that_is_cut_off_go_on_elsewhere(start_cluster, way):
    cluster = await start_cluster(nodes=3, proxied=True)
    recorder = Recorder()
    cut, well = await devices_on(cluster, 0, 3, recorder), await devices_on(cluster, 1, 1, recorder)
    devices = [*cut, *well]
    try:
        conversation = await well[0].create("partition", agent="off")
        for device in cut:
            await device.join(conversation.id)
        for device in devices:
            await device.send(conversation.id, f"{device.name} before")
        told: list[dict] = []
        cut[0].client.on("server:draining", told.append)

        cut_off(cluster, 0, way)
        began = time.monotonic()
        # Everybody writes on; what the cut node answers or not is the SDK's to repair.
        sending = [asyncio.create_task(d.send(conversation.id, f"{d.name} during")) for d in devices]
        await until_ready(cluster.urls[0], 503, NOTICED_S)
        noticed = time.monotonic() - began
        await asyncio.wait_for(asyncio.gather(*sending), 15)
        moved = time.monotonic() - began
        assert {device.client.node for device in cut} <= {str(port) for port in cluster.ports[1:]}
        assert told == [{"node": str(cluster.ports[0]), "reason": "cut_off"}]
        # Nobody comes in while it is cut off, and is told to try elsewhere.
        assert (await ready(cluster.urls[0]))[1]["ready"] is False
        _, token = await guest_token(cluster.urls[1], "Late")
        async with ChatClient([cluster.urls[0], cluster.urls[1]], token) as late:
            assert late.node == str(cluster.ports[1])

        heal(cluster, 0)
        await until_ready(cluster.urls[0], 200, NOTICED_S)
        # The node is whole again: who comes back to it misses nothing, and hears what is said elsewhere.
        await cut[0].client.go_offline()
        await cut[0].client.go_online(cluster.urls[0])
        last = await well[0].send(conversation.id, "after")
        for device in devices:
            assert await device.reaches(conversation.id, last.seq, 5), device.name
            recorder.settle(device.name, conversation.id)
        await well[0].record_log(conversation.id)
        report = check(recorder.history())
        assert report.anomalies == ()
        assert report.acked == report.sent == 2 * len(devices) + 1
        print(f"cut off {way}: noticed after {noticed:.1f} s, all sends acked after {moved:.1f} s")
    finally:
        await asyncio.gather(*(device.close() for device in devices))


async def test_devices_stay_when_redis_is_away_for_all_nodes(start_cluster):
    cluster = await start_cluster(nodes=3, proxied=True)
    recorder = Recorder()
    devices = [device for node in range(3) for device in await devices_on(cluster, node, 2, recorder)]
    try:
        conversation = await devices[0].create("all", agent="off")
        for device in devices[1:]:
            await device.join(conversation.id)
        moved: list[object] = []
        for device in devices:
            for event in ("server:draining", "session:ready"):
                device.client.on(event, moved.append)
        for number in range(3):
            cut_off(cluster, number, "both")
        for url in cluster.urls:
            await until_ready(url, 503, NOTICED_S)
        await asyncio.sleep(5)  # long enough to be sent away, if that were to happen
        sending = [asyncio.create_task(device.send(conversation.id, "during")) for device in devices]
        for number in range(3):
            heal(cluster, number)
        acks = await asyncio.wait_for(asyncio.gather(*sending), 10)
        head = max(ack.seq for ack in acks)
        for device in devices:
            assert await device.reaches(conversation.id, head, 5), device.name
            recorder.settle(device.name, conversation.id)
        assert moved == []
        await devices[0].record_log(conversation.id)
        assert check(recorder.history()).anomalies == ()
    finally:
        await asyncio.gather(*(device.close() for device in devices))

"""A node cut off from Redis says so and sends its devices to nodes that are well, where they miss nothing."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest

from roomgraph.check import Recorder, check
from roomgraph.check.recording import RecordedDevice
from sio_clients import ChatClient, guest_token
from tests.faults.networks import cut_off, heal
from tests.integration.test_bus import until_ready
from tests.waiting import Inbox, first_of, within

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


async def test_the_devices_of_nodes_that_are_cut_off_continue_on_another_node(start_cluster):
    # Each in its own way: nothing gets to Redis, nothing comes from it, neither. The last one is well.
    ways = ["up", "down", "both"]
    cluster = await start_cluster(nodes=len(ways) + 1, proxied=True)
    well = len(ways)
    recorder = Recorder()
    devices = [device for node in range(well + 1) for device in await devices_on(cluster, node, 2, recorder)]
    stays, leaves = devices[-2:], devices[:-2]
    try:
        conversation = await stays[0].create("partition", agent="off")
        for device in devices:
            if device is not stays[0]:
                await device.join(conversation.id)
        for device in devices:
            await device.send(conversation.id, f"{device.name} before")
        told: list[tuple[str, dict[str, Any]]] = []  # by which node

        def keep(client: ChatClient, notice: dict[str, Any]) -> None:
            told.append((client.node, notice))

        for device in devices:
            device.client.on("session:ended", partial(keep, device.client))

        for node, way in enumerate(ways):
            cut_off(cluster, node, way)
        began = time.monotonic()
        # Everybody writes on; what a node that is cut off answers or not is the SDK's to repair.
        sending = [asyncio.create_task(d.send(conversation.id, f"{d.name} during")) for d in devices]
        noticed = [asyncio.create_task(until_ready(cluster.urls[node], 503, NOTICED_S)) for node in range(well)]
        after = await asyncio.gather(*noticed)
        async with within(15, "all acks"):
            await asyncio.gather(*sending)
        moved = time.monotonic() - began
        assert {device.client.node for device in devices} == {str(cluster.ports[well])}
        assert all(notice["reason"] == "cut_off" and notice["reconnect"] for _, notice in told)
        assert {node for node, _ in told} == {str(port) for port in cluster.ports[:well]}
        print(f"cut off: noticed after {max(after):.1f} s, all sends acked after {moved:.1f} s")
        # Nobody comes in while it is cut off, and is told to try elsewhere.
        _, token = await guest_token(cluster.urls[well], "Late")
        async with ChatClient([cluster.urls[0], cluster.urls[well]], token) as late:
            assert late.node == str(cluster.ports[well])

        for node in range(well):
            heal(cluster, node)
        for node in range(well):
            await until_ready(cluster.urls[node], 200, NOTICED_S)
        # They are whole again: who comes back misses nothing, and hears what is said elsewhere.
        for node in range(well):
            client = leaves[2 * node].client
            await client.go_offline()
            await client.go_online(cluster.urls[node])
        last = await stays[0].send(conversation.id, "after")
        for device in devices:
            assert await device.reaches(conversation.id, last.seq, 5), device.name
            recorder.settle(device.name, conversation.id)
        await stays[0].record_log(conversation.id)
        report = check(recorder.history())
        assert report.anomalies == ()
        assert report.acked == report.sent == 2 * len(devices) + 1
    finally:
        await asyncio.gather(*(device.close() for device in devices))


async def start_of(started: Inbox[dict[str, Any]], run_id: str | None) -> dict[str, Any]:
    return await started.first(
        lambda run: (run["run_id"], run["status"]) == (run_id, "running"), f"the start of {run_id}"
    )


async def test_a_run_of_a_node_that_is_cut_off_is_taken_over_and_the_stale_owner_writes_nothing(start_cluster):
    # Words come so slowly that the run lasts longer than a lease.
    cluster = await start_cluster(nodes=2, proxied=True, WORD_DELAY="0.5")
    _, token = await guest_token(cluster.urls[1], "Ann")
    async with ChatClient(cluster.urls[1:], token) as ann:
        conversation = await ann.create(graph="echo")
        started: Inbox[dict[str, Any]] = Inbox()
        ann.on("run:changed", lambda told: started(told["run"]))
        while True:
            ack = await conversation.send("one two three four five six seven eight nine ten eleven twelve")
            run = await start_of(started, ack.run_id)
            if run["node"] == str(cluster.ports[0]):
                break
            await conversation.stop()
        cut_off(cluster, 0, "both")
        entry = await first_of(
            conversation.entries(), lambda entry: entry.data.get("input_seq") == ack.seq, "the end of the run", 25
        )
        assert (entry.type, entry.data["attempt"]) == ("answer", 2)
        runs = [run for run in started.items if run["run_id"] == entry.data["run_id"]]
        assert [(run["status"], run["node"]) for run in runs] == [
            ("queued", ""),
            ("running", str(cluster.ports[0])),
            ("stalled", str(cluster.ports[0])),
            ("running", str(cluster.ports[1])),
        ]
        heal(cluster, 0)
        await until_ready(cluster.urls[0], 200, NOTICED_S)
        # What it had still to say when it was cut off has been said to nobody, and it ends nothing.
        await asyncio.sleep(2)  # it writes no entry of that, and nobody but Redis knows what was under way
        finals = [e for e in await conversation.log() if e.data.get("input_seq") == ack.seq]
        assert finals == [entry]


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
            for event in ("session:ended", "session:opened"):
                device.client.on(event, moved.append)
        for number in range(3):
            cut_off(cluster, number, "both")
        for url in cluster.urls:
            await until_ready(url, 503, NOTICED_S)
        await asyncio.sleep(5)  # the length of the fault: a node alone would send its devices away in that time
        sending = [asyncio.create_task(device.send(conversation.id, "during")) for device in devices]
        for number in range(3):
            heal(cluster, number)
        async with within(10, "all acks"):
            acks = await asyncio.gather(*sending)
        head = max(ack.seq for ack in acks)
        for device in devices:
            assert await device.reaches(conversation.id, head, 5), device.name
            recorder.settle(device.name, conversation.id)
        assert moved == []
        await devices[0].record_log(conversation.id)
        assert check(recorder.history()).anomalies == ()
    finally:
        await asyncio.gather(*(device.close() for device in devices))

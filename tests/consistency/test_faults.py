"""Faults under load, judged by the pure history checker from what devices really sent and received."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from roomgraph.check import Recorder, Report, check
from roomgraph.check.recording import RecordedDevice
from sio_clients import ChatClient, RoomgraphError, guest_token

pytestmark = pytest.mark.faults

DEVICES = 6
MESSAGES = 40


Fault = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


async def run_under_load(cluster, fault: Fault) -> tuple[Report, int]:
    """Devices on all nodes write in a row; `fault` happens meanwhile; everyone ends level. Returns the report."""
    recorder = Recorder()
    devices: list[RecordedDevice] = []
    count = len(cluster.urls)
    under_way = asyncio.Event()
    unknown, room = 0, ""

    async def write(device: RecordedDevice) -> None:
        nonlocal unknown
        for number in range(MESSAGES):
            try:
                await device.send(room, f"{device.name} {number}")
            except RoomgraphError:
                unknown += 1
            if number == MESSAGES // 4:
                under_way.set()

    try:
        for index in range(DEVICES):
            _, token = await guest_token(cluster.urls[index % count], f"Dev {index}")
            urls = cluster.urls[index % count :] + cluster.urls[: index % count]
            client = ChatClient(urls, token, give_up_after=40)
            await client.connect()
            devices.append(RecordedDevice(f"device-{index}", client, recorder))
        conversation = await devices[0].create("load", agent="off")
        for device in devices[1:]:
            await device.join(conversation.id)
        room = conversation.id
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fault(under_way))
            for device in devices:
                tasks.create_task(write(device))
        head = (await devices[0].conversation(conversation.id).log())[-1].seq
        for device in devices:
            if await device.reaches(conversation.id, head, 20):
                recorder.settle(device.name, conversation.id)
        log = await devices[0].record_log(conversation.id)
        for device in devices:
            assert device.entries[conversation.id] == log, device.name
            assert device.resets == []
        return check(recorder.history()), unknown
    finally:
        await asyncio.gather(*(device.close() for device in devices))


@pytest.mark.parametrize("victim", [0, 1])
async def test_killing_a_node_under_load_loses_doubles_and_reorders_nothing(start_cluster, victim):
    cluster = await start_cluster(nodes=3)

    async def kill(under_way: asyncio.Event) -> None:
        await under_way.wait()
        await cluster.signal_node(cluster.ports[victim], signal.SIGKILL)

    report, unknown = await run_under_load(cluster, kill)
    assert report.anomalies == ()
    assert unknown == 0, "the SDK repairs every send that a dead node left without an answer"
    assert report.acked == report.sent == DEVICES * MESSAGES
    assert report.received == DEVICES * MESSAGES * (DEVICES - 1)


async def test_killing_a_node_and_starting_it_again_under_load_loses_nothing(start_cluster):
    cluster = await start_cluster(nodes=2)

    async def restart(under_way: asyncio.Event) -> None:
        await under_way.wait()
        for port in cluster.ports:
            await cluster.signal_node(port, signal.SIGKILL)
            await cluster.start_node(port)

    report, unknown = await run_under_load(cluster, restart)
    assert report.anomalies == ()
    assert (unknown, report.acked) == (0, DEVICES * MESSAGES)


async def test_killing_redis_under_load_loses_no_acked_message(start_cluster):
    cluster = await start_cluster(nodes=2)

    async def crash(under_way: asyncio.Event) -> None:
        await under_way.wait()
        await cluster.signal_redis(signal.SIGKILL)
        await cluster.start_redis()

    report, unknown = await run_under_load(cluster, crash)
    assert report.anomalies == ()
    assert (unknown, report.acked) == (0, DEVICES * MESSAGES)


async def test_a_paused_node_that_wakes_changes_nothing(start_cluster):
    cluster = await start_cluster(nodes=2)

    async def pause(under_way: asyncio.Event) -> None:
        await under_way.wait()
        await cluster.signal_node(cluster.ports[0], signal.SIGSTOP)
        await asyncio.sleep(3)  # the length of the pause is the fault itself
        await cluster.signal_node(cluster.ports[0], signal.SIGCONT)

    report, unknown = await run_under_load(cluster, pause)
    assert report.anomalies == ()
    assert (unknown, report.acked) == (0, DEVICES * MESSAGES)

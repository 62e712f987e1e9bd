"""Scene: everyone writes at once on different nodes, and everyone sees the same."""

from __future__ import annotations

import asyncio
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from roomgraph.check.recording import RecordedDevice
from roomgraph.tour.figures import percentiles
from roomgraph.tour.stage import WAIT_S, Stage
from sio_server.protocol.events import EntryType

MESSAGES_EACH = 5


async def play_consistency(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene."""
    devices, texts = stage.devices, stage.texts
    stage.say("consistency.plan", clients=len(devices), nodes=len(stage.urls), each=MESSAGES_EACH)
    conversation = await devices[0].create(texts("consistency"), agent="off")
    for device in devices[1:]:
        await device.join(conversation.id)

    began: dict[str, float] = {}
    loop = asyncio.get_running_loop()

    async def write(device: RecordedDevice, index: int) -> int:
        last = 0
        for number in range(MESSAGES_EACH):
            text = stage.people[index].line(number)
            at = loop.time()
            ack = await device.send(conversation.id, text)
            began[f"{device.name} {ack.seq}"] = at
            last = ack.seq
        return last

    expected = len(devices) * MESSAGES_EACH * (len(devices) - 1)
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=stage.console, transient=True) as progress:
        shown = progress.add_task(texts("consistency.progress"), total=expected)
        writers = [asyncio.create_task(write(device, index)) for index, device in enumerate(devices)]
        counting = asyncio.create_task(_show(progress, shown, devices, conversation.id))
        head = max(await asyncio.gather(*writers))
        settled = await asyncio.gather(*(device.reaches(conversation.id, head, WAIT_S) for device in devices))
        counting.cancel()
        progress.update(shown, completed=_from_others(devices, conversation.id))

    for device, level in zip(devices, settled, strict=True):
        if level:
            stage.recorder.settle(device.name, conversation.id)
    log = await devices[0].record_log(conversation.id)
    report = stage.judge()
    same = [device.entries[conversation.id] == log for device in devices]
    ok = report.ok and all(settled) and all(same) and report.received == expected

    table = stage.table("", texts("client"), texts("node"), texts("sent"), texts("from_others"), texts("log"))
    for device, equal in zip(devices, same, strict=True):
        entries = device.entries[conversation.id]
        mark = "[green]✔[/]" if equal else "[red]✘[/]"
        state = f"{entries[-1].seq} · {texts('same' if equal else 'other')}"
        theirs = str(_messages_of_others(device, conversation.id))
        table.add_row(mark, device.name, device.client.node, str(MESSAGES_EACH), theirs, state)
    stage.console.print(table)

    latency = percentiles(
        device.arrived[entry.data["request_id"]] - began[f"{entry.data['name']} {entry.seq}"]
        for device in devices
        for entry in device.entries[conversation.id]
        if entry.type == EntryType.MESSAGE and entry.author != device.client.user_id
    )
    stage.say("consistency.latency", **latency)
    facts = report.counts()
    stage.tell_anomalies(report)
    stage.verdict(ok, "consistency.verdict" if ok else "consistency.differs", **facts)
    return {"ok": ok, **facts, "latency_ms": latency}


def _messages_of_others(device: RecordedDevice, conversation_id: str) -> int:
    return sum(
        entry.type == EntryType.MESSAGE and entry.author != device.client.user_id
        for entry in device.entries[conversation_id]
    )


def _from_others(devices: list[RecordedDevice], conversation_id: str) -> int:
    return sum(_messages_of_others(device, conversation_id) for device in devices)


async def _show(progress: Progress, shown: Any, devices: list[RecordedDevice], conversation_id: str) -> None:
    while True:
        progress.update(shown, completed=_from_others(devices, conversation_id))
        await asyncio.sleep(0.05)

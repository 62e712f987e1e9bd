"""Scene: one person's three devices stay in step."""

from __future__ import annotations

import asyncio
from typing import Any

from roomgraph.tour.stage import KINDS, WAIT_S, Stage
from sio_server.protocol.events import EntryType

MESSAGES_EACH = 2


async def play_devices(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene. Its devices stay connected."""
    texts = stage.texts
    devices = await stage.devices_of_one()
    user_id = devices[0].client.user_id
    stage.say("devices.plan", name=stage.one_person, devices=texts("devices.names"))
    phone, laptop, tablet = devices
    conversation = await phone.create(texts("devices"), agent="off")
    for device in (laptop, tablet):
        await device.join(conversation.id)

    # Read marks and drafts: what each device is told by the server.
    marks: dict[str, int] = {}
    drafts: dict[str, str] = {}
    came = asyncio.Event()
    for device in devices:

        def read(payload: Any, name: str = device.name) -> None:
            if payload["user_id"] == user_id and "read" in payload:
                marks[name] = payload["read"]
                came.set()

        def draft(payload: Any, name: str = device.name) -> None:
            drafts[name] = payload["draft"]["text"]
            came.set()

        device.client.on("marks:moved", read)
        device.client.on("draft:changed", draft)

    last = 0
    for number in range(MESSAGES_EACH):
        for device in devices:
            text = f"{texts('devices.line', device=device.name)} {number + 1}"
            last = (await device.send(conversation.id, text)).seq
    settled = await asyncio.gather(*(device.reaches(conversation.id, last, WAIT_S) for device in devices))
    unsent = texts("devices.draft")
    await phone.conversation(conversation.id).mark_read(last)
    await laptop.conversation(conversation.id).save_draft(unsent)

    def followed() -> tuple[int, int]:
        reads = sum(marks.get(device.name) == last for device in (laptop, tablet))
        return reads, sum(drafts.get(device.name) == unsent for device in (phone, tablet))

    try:
        async with asyncio.timeout(WAIT_S):
            while followed() != (2, 2):
                came.clear()
                await came.wait()
    except TimeoutError:
        pass
    read_marks, shown_drafts = followed()

    for device, level in zip(devices, settled, strict=True):
        if level:
            stage.recorder.settle(device.name, conversation.id)
    await tablet.record_log(conversation.id)
    report = stage.judge()
    expected = len(devices) * MESSAGES_EACH * (len(devices) - 1)
    ok = report.ok and all(settled) and report.received == expected and (read_marks, shown_drafts) == (2, 2)

    table = stage.table(
        texts("device"), texts("node"), texts("devices.messages"), texts("devices.read"), texts("devices.drafts")
    )
    for device in devices:
        theirs = sum(
            entry.type == EntryType.MESSAGE and entry.data["device_id"] != device.client.device_id
            for entry in device.entries[conversation.id]
        )
        mark = texts("own") if device is phone else str(marks.get(device.name, "–"))
        text = texts("own") if device is laptop else drafts.get(device.name, "–")
        table.add_row(device.name, device.client.node, str(theirs), mark, text)
    stage.console.print(table)
    facts = report.counts()
    stage.tell_anomalies(report)
    stage.verdict(ok, "devices.verdict", followed=min(read_marks, shown_drafts), **facts)
    return {
        "ok": ok,
        "user_id": user_id,
        "devices": [{"name": kind, "node": d.client.node} for kind, d in zip(KINDS, devices, strict=True)],
        **facts,
        "read_marks": read_marks,
        "drafts": shown_drafts,
    }

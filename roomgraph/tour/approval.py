"""Scene: the agent asks before it books; of the answers from one person's devices the first one counts."""

from __future__ import annotations

import asyncio
from typing import Any

from rich.markup import escape

from roomgraph.check.recording import RecordedDevice
from roomgraph.tour.recovery import BOOKING_NUMBER
from roomgraph.tour.stage import WAIT_S, Stage, as_written
from sio_clients.errors import ErrorCode, Refused
from sio_server.protocol.events import Entry, EntryType


async def play_approval(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene. Its devices stay connected."""
    texts = stage.texts
    phone, laptop, _ = await stage.devices_of_one()
    both = (laptop, phone)
    asked_on, answered_on = laptop.client.node, phone.client.node
    stage.say("approval.plan", name=stage.one_person, node=asked_on)
    conversation_id = (await stage.open(laptop, texts("approval"), agent="always")).id
    await phone.join(conversation_id)
    stage.quote(stage.one_person, "cyan", texts("approval.ask"))
    await laptop.send(conversation_id, texts("approval.ask"))

    questions = await asyncio.gather(*(_first(device, conversation_id, EntryType.INTERRUPT) for device in both))
    question = questions[0]
    if question is None:
        stage.verdict(False, "approval.no_question")
        return {"ok": False, "error": "the question did not come"}
    asked = question.data["interrupts"][0]
    options = asked["value"]["options"]
    open_on = [asked["interrupt_id"] in device.conversation(conversation_id).interrupts for device in both]
    buttons = "  ".join(f"[{option['label']}]" for option in options)
    stage.quote("concierge", "magenta", question.text, f" [bold]{escape(buttons)}[/]")
    stage.say("approval.asked", asked_on=asked_on, other=answered_on)

    # The second answer is on its way before the laptop can know of the first.
    choice, label = options[0]["value"], options[0]["label"]
    await phone.conversation(conversation_id).respond(asked["interrupt_id"], choice)
    refusal = ""
    try:
        await laptop.conversation(conversation_id).respond(asked["interrupt_id"], choice)
    except Refused as exc:
        refusal = exc.code
    stage.say("approval.answered", label=label, node=answered_on)
    stage.say("approval.refused" if refusal else "approval.not_refused", label=label, code=refusal)

    answers = await asyncio.gather(*(_first(device, conversation_id, EntryType.ANSWER) for device in both))
    log = await laptop.record_log(conversation_id)
    for device in both:
        if await device.reaches(conversation_id, log[-1].seq, WAIT_S):
            stage.recorder.settle(device.name, conversation_id)
    report = stage.judge()
    resolved = [entry for entry in log if entry.type == EntryType.INTERRUPT_RESOLVED]
    bookings = [number for entry in log for number in BOOKING_NUMBER.findall(entry.text)]
    stage.quote("concierge", "magenta", answers[0].text if answers[0] else "")

    table = stage.table(
        "",
        texts("device"),
        texts("node"),
        texts("approval.question"),
        texts("approval.by"),
        texts("approval.from"),
    )
    held = []
    for device, was_open in zip(both, open_on, strict=True):
        told = [e.data for e in device.entries[conversation_id] if e.type == EntryType.INTERRUPT_RESOLVED]
        by = told[0].get("by") or {} if told else {}
        same = len(told) == 1 and by.get("device_id") == phone.client.device_id and was_open
        held.append(same and not device.conversation(conversation_id).interrupts)
        mark = "[green]✔[/]" if held[-1] else "[red]✘[/]"
        shown = texts("approval.shown" if was_open else "approval.not_shown")
        who, where = as_written(by.get("name", "–")), as_written(by.get("device_name", "–"))
        table.add_row(mark, device.name, device.client.node, shown, who, where)
    stage.console.print(table)
    stage.tell_anomalies(report)
    ok = report.ok and all(held) and refusal == ErrorCode.ALREADY_RESOLVED
    ok = ok and len(resolved) == 1 and len(bookings) == 1 and questions[0] == questions[1]
    facts = {"answers": len(resolved), "bookings": len(bookings)}
    stage.verdict(ok, "approval.verdict", asked_on=asked_on, answered_on=answered_on, **facts)
    return {"ok": ok, "asked_on": asked_on, "answered_on": answered_on, **facts}


async def _first(device: RecordedDevice, conversation_id: str, kind: EntryType) -> Entry | None:
    """The first entry of this type, when it has come."""

    def of_kind() -> list[Entry]:
        return [entry for entry in device.entries[conversation_id] if entry.type == kind]

    await device.until(conversation_id, lambda _: bool(of_kind()), WAIT_S)
    return next(iter(of_kind()), None)

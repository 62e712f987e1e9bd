"""Scene: two clients drop in the middle of a dialog and find everything again on another node."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from roomgraph.check.recording import RecordedDevice
from roomgraph.tour.stage import WAIT_S, Booked, Stage
from sio_server.protocol.events import EntryType

DROPPING = 2
MESSAGES_MEANWHILE = 3  # of each of the others
REPLIES = (EntryType.ANSWER, EntryType.INTERRUPT)
BOOKING_NUMBER = re.compile(r"R-[A-Z2-7]+")


async def play_recovery(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene."""
    texts, devices = stage.texts, stage.devices
    dropping, staying = devices[:DROPPING], devices[DROPPING:]
    conversation = await stage.open(devices[0], texts("recovery"), agent="mention")
    for device in devices[1:]:
        await device.join(conversation.id)

    stage.say("recovery.begin", names=texts("recovery.and").join(device.name for device in dropping))
    for device in dropping:
        await _ask(stage, device, conversation.id, texts("recovery.what"))

    # Everyone has everything before the drop, so that what is missed is what is written after it.
    head = max(device.entries[conversation.id][-1].seq for device in dropping)
    await asyncio.gather(*(device.reaches(conversation.id, head, WAIT_S) for device in dropping))
    from_nodes = [device.client.node for device in dropping]
    await asyncio.gather(*(device.client.go_offline() for device in dropping))
    stage.say("recovery.drop", count=len(staying) * MESSAGES_MEANWHILE)
    for number in range(MESSAGES_MEANWHILE):
        for index, device in enumerate(staying):
            await device.send(conversation.id, stage.people[DROPPING + index].line(number))

    stage.say("recovery.back")
    for device in dropping:
        # The first address is the node it was on.
        await device.client.go_online(device.client.urls[1 % len(device.client.urls)])
    table = stage.table(
        texts("client"),
        texts("user_id"),
        texts("moved"),
        texts("verdict"),
        texts("replayed"),
        texts("history"),
        texts("last_activity"),
    )
    cards = []
    for device, from_node in zip(dropping, from_nodes, strict=True):
        card = device.conversation(conversation.id).card
        assert card is not None, "a conversation that was joined has a card"
        cards.append(card)
        moved = f"{from_node} → {device.client.node}"
        when = card.last_activity[11:19]
        table.add_row(device.name, card.user_id, moved, card.verdict, str(card.replayed), str(card.history), when)
    stage.console.print(table)

    stage.say("recovery.goes_on")
    resumed, numbers = [], []
    for device in dropping:
        question = await _ask(stage, device, conversation.id, texts("recovery.when"), tell=True)
        read_back = await _ask(stage, device, conversation.id, texts("recovery.how_many"), tell=True)
        # What was said before the drop (the first slot) must be read back with what was said after it.
        slots = texts("recovery.slots").split("|")
        resumed.append(bool(question) and all(slot in read_back for slot in slots))
        booked = await _ask(stage, device, conversation.id, texts("recovery.yes"), tell=True)
        numbers += BOOKING_NUMBER.findall(booked)

    log = await staying[0].conversation(conversation.id).log()
    settled = await asyncio.gather(*(device.reaches(conversation.id, log[-1].seq, WAIT_S) for device in devices))
    for device, level in zip(devices, settled, strict=True):
        if level:
            stage.recorder.settle(device.name, conversation.id)
    log = await staying[0].record_log(conversation.id)
    stage.booked = Booked(conversation.id, numbers, log[-1].seq)
    report = stage.judge()

    clients = []
    recovered = 0
    for device, card, from_node, dialog in zip(dropping, cards, from_nodes, resumed, strict=True):
        # It missed what the others wrote, neither less nor more.
        missed_all = card.verdict == "resumed" and card.replayed >= len(staying) * MESSAGES_MEANWHILE
        recovered += missed_all and dialog
        clients.append(
            {
                "name": device.name,
                "user_id": card.user_id,
                "verdict": card.verdict,
                "replayed": card.replayed,
                "history": card.history,
                "last_activity": card.last_activity,
                "from_node": from_node,
                "to_node": device.client.node,
                "dialog_resumed": dialog,
            }
        )
    ok = report.ok and all(settled) and recovered == len(dropping)
    facts = {"lost": report.lost, "duplicated": report.duplicated, "reordered": report.reordered}
    stage.tell_anomalies(report)
    if ok:
        stage.verdict(True, "recovery.verdict", count=recovered, **facts)
    else:
        stage.verdict(False, "recovery.broken", count=recovered, all=len(dropping), **facts)
    return {"ok": ok, "clients": clients, **facts}


async def _ask(
    stage: Stage, device: RecordedDevice, conversation_id: str, text: str, *, tell: bool = False
) -> str:
    """Say something to the concierge; returns its answer or question to just this, or an empty text."""
    ack = await device.send(conversation_id, text)
    answers: list[str] = []

    def answered(entries: list[Any]) -> bool:
        answers[:] = [e.text for e in entries if e.type in REPLIES and e.data["input_seq"] == ack.seq]
        return bool(answers)

    await device.until(conversation_id, answered, WAIT_S)
    answer = answers[0] if answers else ""
    if tell:
        stage.quote(device.name, "cyan", text)
        stage.quote("concierge", "magenta", answer)
    return answer

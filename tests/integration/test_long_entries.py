"""Answers that are longer than the log takes: every device has them whole, and nobody is disconnected for them."""

from __future__ import annotations

from typing import Any

import pytest

from sio_clients.errors import Refused
from sio_server.protocol.acks import check_ack
from sio_server.protocol.events import ENTRY_BYTES_SHOWN, PREVIEW_BYTES, ClientEvent
from tests.served.writing import said

pytest_plugins = ["tests.served.fixtures"]
SIZE = 5_000_000


async def test_an_answer_of_five_megabytes_reaches_every_device(devices):
    ann = await devices.start("writer", node=0)
    bob, carl = await devices.join(ann, node=1), await devices.join(ann, "Carl", node=2)
    lost: list[str] = []
    for device in (ann, bob):
        device.client.on("session:opened", lambda _: lost.append("reconnected"))
    await carl.client.go_offline()
    raw: list[dict[str, Any]] = []
    ann.client.on("entry:appended", raw.append)
    ack = await ann.conversation.send(f"say {SIZE}")
    text = said(SIZE)
    for device in (ann, bob):
        answer = await device.ended(ack.run_id)
        assert (answer.type, answer.text == text, answer.pages) == ("answer", True, None)
    assert lost == [], "a device was disconnected"
    # The stream shows the beginning, and the log keeps a part of it.
    written = ann.written(ack.run_id)
    assert PREVIEW_BYTES - 1000 < len("".join(written)) <= PREVIEW_BYTES
    assert text.startswith("".join(written))
    (shown,) = [entry for entry in raw if entry["type"] == "answer"]
    assert shown["pages"] == -(-(SIZE + 200) // ENTRY_BYTES_SHOWN)
    assert text.startswith(shown["data"]["text"])
    # A device that was offline, a page of history, and a device that joins later.
    await carl.client.go_online(carl.client.urls[2])
    assert (await carl.ended(ack.run_id)).text == text
    assert [entry.text == text for entry in await bob.conversation.history() if entry.type == "answer"] == [True]
    assert [entry.text == text for entry in await bob.conversation.log() if entry.type == "answer"] == [True]
    dora = await devices.join(ann, "Dora", node=1)
    assert (await dora.ended(ack.run_id)).text == text


async def test_pages_are_for_members_and_only_those_that_there_are(devices):
    ann = await devices.start("writer", node=0)
    ack = await ann.conversation.send(f"say {2 * ENTRY_BYTES_SHOWN}")
    answer = await ann.ended(ack.run_id)
    where = {"conversation_id": ann.conversation.id, "seq": answer.seq}
    read = await ann.client.request(ClientEvent.ENTRY_READ, {**where, "page": 0})
    check_ack(ClientEvent.ENTRY_READ, {"ok": True, **read})
    for seq, page in ((answer.seq, 3), (answer.seq, 9), (ack.seq, 0), (99, 0)):
        with pytest.raises(Refused) as refused:
            await ann.client.request(ClientEvent.ENTRY_READ, {**where, "seq": seq, "page": page})
        assert refused.value.code == "not_found"
    outsider = await devices.connect("Bob", node=1)
    with pytest.raises(Refused) as refused:
        await outsider.client.request(ClientEvent.ENTRY_READ, {**where, "page": 0})
    assert refused.value.code in ("not_a_member", "unknown_conversation")


async def test_an_answer_that_is_too_large_fails_openly(devices):
    ann = await devices.start("writer", node=0)
    ack = await ann.conversation.send("say 9000000")
    ended = await ann.ended(ack.run_id)
    assert (ended.type, ended.data["code"]) == ("failed", "answer_too_large")
    assert "8388608" in ended.data["reason"]
    again = await ann.conversation.send("say 10")
    assert (await ann.ended(again.run_id)).text == said(10)


async def test_five_thousand_reports_come_in_few_events(devices):
    ann = await devices.start("writer", node=0)
    ack = await ann.conversation.send("report 5000")
    assert (await ann.ended(ack.run_id)).text == "reported"
    events = [told for told in ann.named("run:written") if told["run_id"] == ack.run_id]
    assert len(events) < 100
    assert ann.reports(ack.run_id)[-2]["data"] == {"number": 4999}

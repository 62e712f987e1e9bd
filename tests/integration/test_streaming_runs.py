"""Text and reports of a run: shown on every device without gaps, whenever the device begins to follow it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.served.devices import Device

pytest_plugins = ["tests.served.fixtures"]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What a graph waits for, until the test touches it."""
    return tmp_path / "gate"


def record_text(device: Device) -> list[str]:
    """The text so far of the run, each time that it grows, as this device shows it."""
    shown: list[str] = []
    device.client.on("run:written", lambda payload: shown.append(device.text_of(payload["run_id"])))
    return shown


def lose(device: Device, loses: Callable[[str, dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Let the network lose such events on their way to a device."""
    lost: list[dict[str, Any]] = []
    receive = device.client._connection._on_event

    def received(event: str, payload: Any) -> None:
        if loses(event, payload):
            lost.append(payload)
        else:
            receive(event, payload)

    transport = device.client._connection._transport
    assert transport is not None
    transport._on_event = received
    return lost


def begun(payload: dict[str, Any]) -> bool:
    """Whether the text continues a part."""
    return any("kind" not in part for part in payload["parts"])


async def test_a_device_that_joins_mid_stream_gets_the_text_so_far_and_then_the_rest_on_any_node(devices, gate):
    ann = await devices.start("teller", node=0)
    before = " ".join(f"before{n}" for n in range(10))
    after = " ".join(f"after{n}" for n in range(20))
    ack = await ann.conversation.send(f"{before} gate:{gate} {after}")
    await ann.says(ack.run_id, "before9 ")
    joined = [await devices.join(ann, node=node) for node in (0, 1, 2)]
    for device in joined:
        assert device.text_of(ack.run_id) == f"{before} "
        assert device.conversation.runs[ack.run_id].status == "running"
    shown = [record_text(device) for device in (ann, *joined)]
    gate.touch()
    for device, texts in zip((ann, *joined), shown, strict=True):
        answer = await device.ended(ack.run_id)
        assert texts[-1] == answer.text == f"{before} {after} "
        assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
        assert device.conversation.runs == {}


async def test_a_device_that_joins_while_words_are_streamed_misses_none(devices):
    ann = await devices.start("teller", node=0)
    words = " ".join(f"word{n}" for n in range(80))
    ack = await ann.conversation.send(words)
    await ann.says(ack.run_id, "word3 ")
    # Not held back by any gate: pieces come before, between and after the answers to the joins.
    joined = await asyncio.gather(*(devices.join(ann, f"Bob {n}", node=n % 3) for n in range(6)))
    assert all(device.text_of(ack.run_id) for device in joined), "the joins came too late to show anything"
    shown = [record_text(device) for device in joined]
    for device, texts in zip(joined, shown, strict=True):
        answer = await device.ended(ack.run_id)
        assert texts[-1] == answer.text == f"{words} "


async def test_a_device_that_was_offline_while_the_agent_spoke_gets_the_whole_text_on_return(devices, gate):
    ann = await devices.start("teller", node=0)
    bob = await devices.join(ann, node=1)
    other = gate.with_name("other")
    ack = await ann.conversation.send(f"one gate:{gate} two three gate:{other} four")
    await bob.says(ack.run_id, "one ")
    await bob.client.go_offline()
    gate.touch()
    await ann.says(ack.run_id, "three ")
    await bob.client.go_online(bob.client.urls[1])
    assert bob.text_of(ack.run_id) == "one two three "
    other.touch()
    assert (await bob.ended(ack.run_id)).text == "one two three four "


async def test_a_lost_piece_of_text_is_noticed_and_filled(devices, gate):
    ann = await devices.start("teller", node=0)
    bob = await devices.join(ann, node=1)
    dropped = lose(bob, lambda event, payload: event == "run:written" and not dropped and begun(payload))
    words = " ".join(f"word{n}" for n in range(20))
    ack = await ann.conversation.send(f"{words} gate:{gate} end")
    await bob.says(ack.run_id, "word19 ")
    assert len(dropped) == 1
    assert bob.text_of(ack.run_id) == f"{words} "
    texts = record_text(bob)
    gate.touch()
    assert (await bob.ended(ack.run_id)).text == texts[-1]


async def test_a_text_is_whole_though_every_second_piece_of_it_is_lost(devices, gate):
    ann = await devices.start("teller", node=0)
    bob = await devices.join(ann, node=1)
    count = iter(range(10_000))
    dropped = lose(bob, lambda event, payload: event == "run:written" and next(count) % 2 == 0)
    words = " ".join(f"word{n}" for n in range(40))
    ack = await ann.conversation.send(f"{words} gate:{gate} x gate:{gate} y")
    await ann.says(ack.run_id, "word39 ")
    gate.touch()
    answer = await bob.ended(ack.run_id)
    assert len(dropped) > 3
    assert answer.text == f"{words} x y "
    assert bob.conversation.runs == {}


async def test_pieces_of_a_text_continue_each_other_and_cost_as_much_as_the_text(devices):
    ann = await devices.start("teller")
    words = " ".join(f"Wörter-{n}-词" for n in range(100))
    ack = await ann.conversation.send(words)
    answer = await ann.ended(ack.run_id)
    written = [told for told in ann.named("run:written") if told["run_id"] == ack.run_id]
    parts = [part for told in written for part in told["parts"]]
    assert "".join(part["text"] for part in parts) == answer.text
    assert [sorted(part.keys() & {"kind", "speaker"}) for part in parts[:2]] == [["kind", "speaker"], []]
    assert len(written) > 5
    envelope = len(json.dumps({**written[0], "parts": [{**parts[0], "text": ""}]}))
    sent = sum(len(json.dumps({**told, "reports": []}, ensure_ascii=False)) for told in written)
    assert sent <= len(answer.text) + len(written) * (envelope + 10)


async def test_reports_tools_and_nodes_are_shown_on_every_device_in_their_order(devices):
    ann = await devices.start("reporter", node=0)
    bob = await devices.join(ann, node=2)
    ack = await ann.conversation.send("go")
    answer = await bob.ended(ack.run_id)
    await ann.ended(ack.run_id)
    reports = bob.reports(ack.run_id)
    assert reports == ann.reports(ack.run_id)
    assert [item["number"] for item in reports] == list(range(1, len(reports) + 1))
    assert {told["version"] for told in bob.named("run:written")} == {1}
    assert {item["kind"] for item in reports} == {"custom", "node", "tool"}
    custom = [item["data"] for item in reports if item["kind"] == "custom"]
    assert custom == [{"progress": 50, "text": "halfway"}]
    find = {"id": "call-1", "name": "find"}
    lose = {"id": "call-2", "name": "lose"}
    assert [item["tool"] for item in reports if item["kind"] == "tool"] == [
        {**find, "args": {"where": "here", "size": 3}, "status": "called"},
        {**lose, "args": {}, "status": "called"},
        {**find, "status": "done", "result": "found it"},
        {**lose, "status": "failed", "result": "it is lost"},
    ]
    nodes = [item["path"] for item in reports if item["kind"] == "node"]
    inner = [["search", "look_up"], ["search", "use_tools"]]
    assert nodes == [*inner, ["search"], ["say_first"], ["say_then"]]
    assert answer.data["tools"] == [
        {**find, "args": {"where": "here", "size": 3}, "status": "done", "result": "found it"},
        {**lose, "args": {}, "status": "failed", "result": "it is lost"},
    ]


async def test_texts_of_two_messages_of_one_run_are_separated_by_a_blank_line(devices, gate):
    ann = await devices.start("reporter")
    ack = await ann.conversation.send(f"gate:{gate}")
    await ann.says(ack.run_id, "Then that. ")
    assert ann.text_of(ack.run_id) == "First this. \n\nThen that. "
    gate.touch()
    # The answer is the last message; the texts before it were only for devices that followed the run.
    assert (await ann.ended(ack.run_id)).text == "Then that. "


async def test_a_device_that_joins_later_is_shown_what_the_run_has_reported(devices, gate):
    ann = await devices.start("reporter", node=0)
    ack = await ann.conversation.send(f"gate:{gate}")
    await ann.says(ack.run_id, "Then that. ")
    bob = await devices.join(ann, node=1)
    reports = ann.conversation.runs[ack.run_id].reports
    assert [item["kind"] for item in reports].count("tool") == 4
    assert bob.conversation.runs[ack.run_id].reports == reports
    gate.touch()
    await bob.ended(ack.run_id)


async def test_a_report_that_is_too_large_is_cut_and_the_run_continues(devices):
    ann = await devices.start("reporter")
    ack = await ann.conversation.send("too much")
    assert (await ann.ended(ack.run_id)).type == "answer"
    (report,) = [item["data"] for item in ann.reports(ack.run_id) if item["kind"] == "custom"]
    assert list(report) == ["truncated"]
    assert report["truncated"] == '{"much":"' + "x" * (4096 - len('{"much":"'))


async def test_of_very_many_reports_the_last_hundred_are_shown_and_kept_for_devices_that_join(devices, gate):
    ann = await devices.start("reporter", node=0)
    ack = await ann.conversation.send(f"many gate:{gate}")
    await ann.says(ack.run_id, "Then that. ")
    reports = ann.reports(ack.run_id)
    custom = [item["data"]["number"] for item in reports if item["kind"] == "custom"]
    assert custom[-90:] == list(range(60, 150))
    bob = await devices.join(ann, node=1)
    assert bob.conversation.runs[ack.run_id].reports == reports[-100:]
    gate.touch()
    await bob.ended(ack.run_id)


async def test_an_agent_may_report_what_is_neither_text_nor_json(devices):
    ann = await devices.start("reporter")
    ack = await ann.conversation.send("odd")
    answer = await ann.ended(ack.run_id)
    assert answer.type == "answer", answer.data
    assert len([item for item in ann.reports(ack.run_id) if item["kind"] == "custom"]) == 4


async def test_a_run_ends_though_its_text_is_not_valid_unicode(devices):
    ann = await devices.start("reporter")
    ack = await ann.conversation.send("half")
    ended = await ann.ended(ack.run_id)
    assert ended.type in ("answer", "failed")
    assert ended.data["attempt"] == 1


async def test_a_device_that_has_left_receives_nothing_of_a_run(devices, gate):
    ann = await devices.start("teller", node=0)
    bob = await devices.join(ann, node=1)
    ack = await ann.conversation.send(f"one gate:{gate} two three")
    await bob.says(ack.run_id, "one ")
    await bob.conversation.leave()
    heard = len(bob.events)
    gate.touch()
    await ann.ended(ack.run_id)
    await bob.settled()
    assert bob.events[heard:] == []

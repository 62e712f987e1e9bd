"""Questions of the agent: shown on every device, answered once by the first answer, and kept over any restart."""

from __future__ import annotations

import asyncio
import json
import signal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sio_clients import Question, Refused
from sio_server.protocol.events import Entry
from sio_server.store.partitions import partition
from tests.served.devices import LANGGRAPH_JSON, Device, Devices, devices_of

pytest_plugins = ["tests.served.fixtures"]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What a graph waits for, until the test touches it."""
    return tmp_path / "gate"


async def asked(device: Device, text: str) -> Entry:
    """The entry in which the agent asks, after this message."""
    entry = await device.ended((await device.conversation.send(text)).run_id)
    assert entry.type == "interrupt", entry.data
    return entry


async def a_later_run_ends(devices: Devices, beside: Device) -> None:
    """Ask in another conversation, whose runs lie in the same queue, and wait for the answer."""
    here = beside.conversation.id
    names = (f"after-{here}-{number}" for number in count())
    there = next(name for name in names if partition(name) == partition(here))
    device = await devices.connect("Later")
    device.follow(await device.client.create(conversation_id=there, access="open", graph="asker"))
    await device.ended((await device.conversation.send("hello")).run_id)


def ids(entry: Entry) -> list[str]:
    return [item["interrupt_id"] for item in entry.data["interrupts"]]


def texts(entry: Entry) -> list[str]:
    return [item["value"]["text"] for item in entry.data["interrupts"]]


async def values_told(device: Device, run_id: str | None) -> Any:
    """What the agent says it was answered."""
    entry = await device.ended(run_id)
    assert entry.type == "answer", entry.data
    return json.loads(entry.text)


async def refusal(call) -> str:
    """The code with which a request is refused."""
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code


async def test_a_question_shows_on_all_devices_of_all_members_on_all_nodes(devices):
    ann = await devices.start("asker", node=0)
    tablet = await devices.join(ann, "Ann", node=1, same_user=True)
    bob = await devices.join(ann, "Bob", node=2)
    ack = await ann.conversation.send("ask 1")
    for device in (ann, tablet, bob):
        entry = await device.ended(ack.run_id)
        assert entry.data["text"] == "question 1?"
        assert entry.data["input_seq"] == ack.seq
        assert device.conversation.interrupts == {ids(entry)[0]: Question(**entry.data["interrupts"][0])}
        assert entry.data["interrupts"][0]["value"]["action"] == {"name": "act", "args": {"what": "question 1?"}}
    ack = await bob.conversation.respond(ids(entry)[0], "approve")
    for device in (ann, tablet, bob):
        settled = await device.entry("interrupt_resolved")
        resolved = settled.data
        assert settled.seq == ack["seq"]
        assert resolved["by"]["user_id"] == bob.client.user_id
        assert resolved["by"]["device_id"] == bob.client.device_id
        assert (resolved["value"], resolved["run_id"]) == ("approve", ack["run_id"])
        assert (await values_told(device, ack["run_id"]))["values"] == ["approve"]
        assert device.conversation.interrupts == {}


async def test_a_late_joiner_and_a_returning_device_learn_of_the_open_question(devices):
    ann = await devices.start("asker", node=0)
    tablet = await devices.join(ann, "Ann", node=1, same_user=True)
    await tablet.client.go_offline()
    entry = await asked(ann, "ask 1")
    item = entry.data["interrupts"][0]
    bob = await devices.connect("Bob", node=2)
    result = await bob.client.request("conversation:join", {"conversation_id": ann.conversation.id})
    assert result["interrupts"] == [{**item, "seq": entry.seq, "run_id": entry.data["run_id"]}]
    bob.follow(await bob.client.join(ann.conversation.id))
    await tablet.client.go_online()
    for device in (bob, tablet):
        assert device.conversation.interrupts == {item["interrupt_id"]: Question(**item)}
    await tablet.conversation.respond(ids(entry)[0], "approve")
    carol = await devices.join(ann, "Carol", node=2)
    assert carol.conversation.interrupts == {}


async def test_a_device_that_was_away_while_a_question_was_answered_does_not_show_it_as_open(devices):
    ann = await devices.start("asker", node=0)
    tablet = await devices.join(ann, "Ann", node=1, same_user=True)
    entry = await asked(ann, "ask 1")
    await tablet.ended(entry.data["run_id"])
    await tablet.client.go_offline()
    ack = await ann.conversation.respond(ids(entry)[0], "approve")
    await ann.ended(ack["run_id"])
    await tablet.client.go_online()
    assert tablet.conversation.interrupts == {}
    assert (await tablet.entry("interrupt_resolved")).data["by"]["device_id"] == ann.client.device_id


@pytest.mark.faults
@pytest.mark.parametrize("checkpointer", ["redis", "plain"])
async def test_a_question_survives_the_death_of_all_nodes_and_of_redis(start_cluster, checkpointer):
    cluster = await start_cluster(nodes=2, LANGGRAPH_JSON=LANGGRAPH_JSON, CHECKPOINTER=checkpointer)
    async with devices_of(cluster) as devices:
        ann = await devices.start("asker")
        entry = await asked(ann, "ask 1")
        for port in cluster.ports:
            await cluster.signal_node(port, signal.SIGKILL)
        await cluster.signal_redis(signal.SIGTERM)
        await cluster.start()
        bob = await devices.join(ann, node=1)
        assert list(bob.conversation.interrupts) == ids(entry)
        ack = await bob.conversation.respond(ids(entry)[0], "approve")
        assert await values_told(bob, ack["run_id"]) == {"to": "ask 1", "values": ["approve"]}
        assert (await values_told(ann, ack["run_id"]))["values"] == ["approve"]


# Who answers


@pytest.mark.parametrize("round", range(3))
async def test_of_six_devices_that_answer_at_once_on_three_nodes_exactly_one_wins(devices, round):
    ann = await devices.start("asker", node=0)
    others = [
        await devices.join(ann, name, node=node, same_user=name == "Ann")
        for name, node in (("Ann", 1), ("Ann", 2), ("Bob", 0), ("Bob", 1), ("Carol", 2))
    ]
    everybody = [ann, *others]
    entry = await asked(ann, "ask 1")
    for device in everybody:
        await device.ended(entry.data["run_id"])
    replies: list[Any] = await asyncio.gather(
        *(device.conversation.respond(ids(entry)[0], f"by {n}") for n, device in enumerate(everybody)),
        return_exceptions=True,
    )
    winners = [n for n, reply in enumerate(replies) if isinstance(reply, dict)]
    assert len(winners) == 1
    lost = [reply for reply in replies if not isinstance(reply, dict)]
    assert [(type(reply), reply.code) for reply in lost] == [(Refused, "already_resolved")] * 5
    winner, ack = everybody[winners[0]], replies[winners[0]]
    for device in everybody:
        resolved = (await device.entry("interrupt_resolved")).data
        assert resolved["by"]["device_id"] == winner.client.device_id
        assert resolved["by"]["device_name"].startswith(("Ann's", "Bob's", "Carol's"))
        assert resolved["value"] == f"by {winners[0]}"
        assert (await values_told(device, ack["run_id"]))["values"] == [f"by {winners[0]}"]
        assert len(device.of_type("interrupt_resolved")) == len(device.of_type("answer")) == 1
    # Another request with the same answer is another answer, also of the winner.
    assert await refusal(winner.conversation.respond(ids(entry)[0], f"by {winners[0]}")) == "already_resolved"
    loser = everybody[(winners[0] + 1) % 6]
    with pytest.raises(Refused) as caught:
        await loser.conversation.respond(ids(entry)[0], f"by {winners[0]}")
    settled = loser.of_type("interrupt_resolved")[0]
    assert caught.value.code == "already_resolved"
    assert caught.value.details == {"seq": settled.seq, "value": settled.data["value"], "by": settled.data["by"]}


async def test_a_non_member_cannot_answer_a_question(devices):
    ann = await devices.start("asker")
    entry = await asked(ann, "ask 1")
    eve = await devices.connect("Eve", node=1)
    answer = {"conversation_id": ann.conversation.id, "interrupt_id": ids(entry)[0], "value": "approve"}
    assert await refusal(eve.client.request("interrupt:respond", answer)) == "not_a_member"
    # An answer that does not fit tells such a person nothing of the question.
    unfit = {**answer, "value": {"no": ["such", "option"]}}
    assert await refusal(eve.client.request("interrupt:respond", unfit)) == "not_a_member"
    assert await refusal(ann.client.request("interrupt:respond", unfit)) == "invalid_payload"
    assert await refusal(ann.conversation.respond("no-such-question", "approve")) == "unknown_interrupt"
    await ann.settled()
    assert list(ann.conversation.interrupts) == ids(entry)


async def test_only_the_owner_answers_where_approvals_are_the_owners(devices):
    ann = await devices.start("asker", approvals="owner")
    bob = await devices.join(ann, node=1)
    entry = await asked(bob, "ask 1")
    assert await refusal(bob.conversation.respond(ids(entry)[0], "approve")) == "not_allowed"
    assert await refusal(bob.conversation.respond(ids(entry)[0], {"no": "option"})) == "not_allowed"
    tablet = await devices.join(ann, "Ann", node=2, same_user=True)
    ack = await tablet.conversation.respond(ids(entry)[0], "approve")
    assert (await values_told(bob, ack["run_id"]))["values"] == ["approve"]


# Several questions


async def test_a_run_that_asked_two_questions_at_once_continues_when_both_are_answered(devices):
    ann = await devices.start("pair")
    bob = await devices.join(ann, node=1)
    entry = await asked(ann, "go")
    assert sorted(texts(entry)) == ["left?", "right?"]
    by_text = dict(zip(texts(entry), ids(entry), strict=True))
    assert entry.text.count("?") == 2
    first = await ann.conversation.respond(by_text["right?"], "R")
    assert first["run_id"] is None
    await bob.entry("interrupt_resolved")
    assert list(bob.conversation.interrupts) == [by_text["left?"]]
    carol = await devices.join(ann, "Carol", node=2)
    assert list(carol.conversation.interrupts) == [by_text["left?"]]
    await ann.settled()
    assert {run["run_id"] for run in (told["run"] for told in ann.named("run:changed"))} == {entry.data["run_id"]}
    second = await bob.conversation.respond(by_text["left?"], "L")
    assert second["run_id"]
    assert await values_told(ann, second["run_id"]) == {"left": ["L"], "right": ["R"]}
    assert (await ann.ended(second["run_id"])).data["input_seq"] == entry.data["input_seq"]


async def test_a_further_question_of_one_of_two_gets_its_own_answer(devices):
    ann = await devices.start("pair")
    entry = await asked(ann, "go")
    by_text = dict(zip(texts(entry), ids(entry), strict=True))
    await ann.conversation.respond(by_text["left?"], "more")
    ack = await ann.conversation.respond(by_text["right?"], "R")
    again = await ann.ended(ack["run_id"])
    assert (again.type, texts(again)) == ("interrupt", ["left again?"])
    ack = await ann.conversation.respond(ids(again)[0], "L")
    assert await values_told(ann, ack["run_id"]) == {"left": ["more", "L"], "right": ["R"]}


async def test_a_new_message_voids_those_of_several_questions_that_are_still_open(devices):
    ann = await devices.start("pair")
    entry = await asked(ann, "go")
    await ann.conversation.respond(ids(entry)[0], "answered")
    again = await asked(ann, "go again")
    outcomes = {e.data["interrupt_id"]: e.data["outcome"] for e in ann.of_type("interrupt_resolved")}
    assert outcomes == {ids(entry)[0]: "answered", ids(entry)[1]: "superseded"}
    assert sorted(texts(again)) == ["left?", "right?"]
    by_text = dict(zip(texts(again), ids(again), strict=True))
    await ann.conversation.respond(by_text["left?"], "1")
    ack = await ann.conversation.respond(by_text["right?"], "2")
    assert await values_told(ann, ack["run_id"]) == {"left": ["1"], "right": ["2"]}


async def test_one_question_after_another_gets_the_answers_in_their_order(devices):
    ann = await devices.start("asker")
    ack = await ann.conversation.send("ask 3")
    run_id = ack.run_id
    for number in (1, 2, 3):
        entry = await ann.ended(run_id)
        assert texts(entry) == [f"question {number}?"]
        assert entry.data["input_seq"] == ack.seq
        run_id = (await ann.conversation.respond(ids(entry)[0], f"answer {number}"))["run_id"]
    assert (await values_told(ann, run_id))["values"] == ["answer 1", "answer 2", "answer 3"]


async def test_a_run_that_asked_inside_a_subgraph_continues_inside_it(devices):
    ann = await devices.start("nested")
    entry = await asked(ann, "go")
    assert texts(entry) == ["inside?"]
    ack = await ann.conversation.respond(ids(entry)[0], "approve")
    assert await values_told(ann, ack["run_id"]) == {"value": "approve", "said": ["prepared"]}
    # And once more in the same dialog: nothing of the first answer is left.
    entry = await asked(ann, "again")
    ack = await ann.conversation.respond(ids(entry)[0], "reject")
    assert (await values_told(ann, ack["run_id"]))["value"] == "reject"


# Questions and messages


async def test_a_new_message_takes_the_place_of_an_answer(devices):
    ann = await devices.start("asker")
    bob = await devices.join(ann, node=1)
    entry = await asked(ann, "ask 1")
    ack = await bob.conversation.send("rather not")
    assert await values_told(ann, ack.run_id) == {"to": "rather not", "values": []}
    settled = await ann.entry("interrupt_resolved")
    assert settled.data == {"interrupt_id": ids(entry)[0], "outcome": "superseded"}
    assert ann.conversation.interrupts == {}
    assert await refusal(ann.conversation.respond(ids(entry)[0], "approve")) == "unknown_interrupt"


async def test_messages_from_before_the_question_wait_with_it_and_are_answered_after_its_answer(devices, gate):
    ann = await devices.start("asker")
    first = await ann.conversation.send(f"ask 1 gate:{gate}")
    await ann.begun(first.run_id)
    second = await ann.conversation.send("second")
    gate.touch()
    entry = await ann.ended(first.run_id)
    assert entry.type == "interrupt"
    # A run that was asked for later, in the same queue, has begun and ended; this one has not begun.
    await a_later_run_ends(devices, ann)
    await ann.settled()
    assert [run["status"] for run in ann.told_of(second.run_id)] == ["queued"]
    ack = await ann.conversation.respond(ids(entry)[0], "approve")
    assert (await values_told(ann, ack["run_id"]))["values"] == ["approve"]
    assert (await values_told(ann, second.run_id))["to"] == "second"
    order = [e.data["run_id"] for e in ann.of_type("answer")]
    assert order == [ack["run_id"], second.run_id]


async def test_messages_that_wait_with_a_question_are_answered_in_order_when_a_newer_one_voids_it(devices, gate):
    ann = await devices.start("asker")
    first = await ann.conversation.send(f"ask 1 gate:{gate}")
    await ann.begun(first.run_id)
    second = await ann.conversation.send("second")
    gate.touch()
    await ann.ended(first.run_id)
    third = await ann.conversation.send("third")
    assert (await values_told(ann, second.run_id))["to"] == "second"
    assert (await values_told(ann, third.run_id))["to"] == "third"
    assert [e.data["outcome"] for e in ann.of_type("interrupt_resolved")] == ["superseded"]


async def test_an_answer_belongs_to_its_question_though_a_waiting_message_was_stopped_since(devices, gate):
    ann = await devices.start("asker")
    first = await ann.conversation.send(f"ask 1 gate:{gate}")
    await ann.begun(first.run_id)
    second = await ann.conversation.send("second")
    gate.touch()
    entry = await ann.ended(first.run_id)
    assert await ann.conversation.stop(second.run_id) == [second.run_id]
    ack = await ann.conversation.respond(ids(entry)[0], "approve")
    assert (await values_told(ann, ack["run_id"]))["values"] == ["approve"]
    assert (await ann.ended(ack["run_id"])).data["input_seq"] == first.seq


async def test_a_stop_leaves_an_open_question_open(devices):
    ann = await devices.start("asker")
    entry = await asked(ann, "ask 1")
    assert await ann.conversation.stop() == []
    ack = await ann.conversation.respond(ids(entry)[0], "approve")
    assert (await values_told(ann, ack["run_id"]))["values"] == ["approve"]


# What may be answered


@pytest.mark.parametrize(
    "value",
    [
        "approve",
        "",
        0,
        False,
        True,
        -1.5,
        2**53,
        [],
        ["a", 1, None, {"b": [True]}],
        {"nested": {"a": [1, {"b": "c"}]}, "empty": {}, "none": None},
        'Zwölf Boxkämpfer 🥊 \u2028 \u0000 "quoted" \\ </script>',
        {"type": "constructor", "id": ["langchain_core", "messages", "HumanMessage"], "kwargs": {"content": "x"}},
    ],
    ids=repr,
)
async def test_the_value_of_an_answer_arrives_at_the_graph_as_it_was_given(devices, value):
    ann = await devices.start("asker")
    entry = await asked(ann, "ask 2 anything")
    ack = await ann.conversation.respond(ids(entry)[0], value)
    assert ack["value"] == value
    assert type(ack["value"]) is type(value)
    again = await ann.ended(ack["run_id"])
    # The first answer is read from the checkpoint here, the second comes with the resumed run.
    ack = await ann.conversation.respond(ids(again)[0], value)
    given = (await values_told(ann, ack["run_id"]))["values"]
    assert json.dumps(given) == json.dumps([value, value])


CONSTRUCTOR = {"lc": 2, "type": "constructor", "id": ["builtins", "eval"], "kwargs": {}, "args": ["1/0"]}


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (CONSTRUCTOR, "invalid_payload"),
        ([{"inside": CONSTRUCTOR}], "invalid_payload"),
        ({"lc": 1, "type": "not_implemented"}, "invalid_payload"),
        ({"__interrupt__": 1}, "invalid_payload"),
        ({"a": [{"__x": 1}]}, "invalid_payload"),
        (deep(9), "invalid_payload"),
        (deep(100), "invalid_payload"),
        (list(range(2000)), "invalid_payload"),
        ("x" * (16 * 1024), "payload_too_large"),
        ("é" * (9 * 1024), "payload_too_large"),
        (None, "invalid_payload"),
        ({}, "invalid_payload"),
        ({"half": "\ud83d"}, "invalid_payload"),
        ({"\ud83d": "half"}, "invalid_payload"),
        (float("nan"), "invalid_payload"),
        (float("inf"), "invalid_payload"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_hostile_value_is_refused_and_the_question_stays_open(devices, value, code):
    ann = await devices.start("asker")
    entry = await asked(ann, "ask 1")
    assert await refusal(ann.conversation.respond(ids(entry)[0], value)) == code
    await ann.settled()
    assert ann.of_type("interrupt_resolved") == []
    ack = await ann.conversation.respond(ids(entry)[0], "approve")
    assert (await values_told(ann, ack["run_id"]))["values"] == ["approve"]


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**100), 1e308, 10**90], ids=repr)
async def test_a_number_of_any_size_is_answered_or_refused_and_never_fails_the_run(devices, value):
    ann = await devices.start("asker")
    entry = await asked(ann, "ask 2 anything")
    answer = ann.conversation.respond(ids(entry)[0], value)
    results: Any = await asyncio.gather(answer, return_exceptions=True)
    result = results[0]
    if isinstance(result, Refused):
        assert result.code == "invalid_payload"
        return
    assert isinstance(result, dict), result
    again = await ann.ended(result["run_id"])
    assert again.type == "interrupt", again.data
    ack = await ann.conversation.respond(ids(again)[0], "end")
    assert (await values_told(ann, ack["run_id"]))["values"] == [value, "end"]


@pytest.mark.parametrize(
    "text",
    ["[" * 20_000 + "]" * 20_000, "9" * 5000, '{"a":' * 8000 + "1" + "}" * 8000],
    ids=["deep list", "long number", "deep object"],
)
async def test_a_value_that_cannot_be_parsed_affects_no_other_connection(devices, served, text):
    ann = await devices.start("asker", node=0)
    entry = await asked(ann, "ask 1")
    eve = await devices.join(ann, "Eve", node=0)
    sio = eve.client._connection._transport._sio
    about = f'"conversation_id":"{ann.conversation.id}","interrupt_id":"{ids(entry)[0]}"'
    request = f'{{"request_id":"r",{about},"value":{text}}}'
    await sio.eio.send(f'27["interrupt:respond",{request}]')
    # On the same node, and for the same user, everything else works.
    again = await devices.connect("Eve", node=0, of=eve)
    assert await again.client.conversations()
    ack = await ann.conversation.respond(ids(entry)[0], "approve")
    assert (await values_told(ann, ack["run_id"]))["values"] == ["approve"]

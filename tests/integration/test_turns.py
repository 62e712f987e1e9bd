"""Turns: stopped from any device, regenerated, edited, and what a message does during a run."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from sio_clients import Refused
from sio_server.store.connection import connect
from tests.served.devices import LANGGRAPH_JSON, Device, devices_of

pytest_plugins = ["tests.served.fixtures"]

AT_ONCE_S = 1.4  # whoever waits for the lease of another run waits for half of it, 1.5 s, or for all of it


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What a graph waits for, until the test touches it."""
    return tmp_path / "gate"


async def told(device: Device, text: str) -> str:
    """The text of the answer to a message."""
    entry = await device.ended((await device.conversation.send(text)).run_id)
    assert entry.type == "answer", entry.data
    return entry.text.strip()


async def memory(device: Device) -> dict[str, list[str]]:
    """What the teller's state holds: what it heard, the question itself left out, and what it said."""
    known = json.loads(await told(device, "recall"))
    assert known["heard"].pop() == "recall"
    return known


async def refusal(call) -> str:
    """The code with which a request is refused."""
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code


# Stop


async def test_a_run_is_stopped_at_once_by_another_device_on_another_node_and_keeps_what_was_shown(devices, gate):
    ann = await devices.start("teller", node=0)
    bob = await devices.join(ann, node=1)
    ack = await ann.conversation.send(f"one two three gate:{gate} four")
    await bob.says(ack.run_id, "three")
    waiting = await ann.conversation.send("next")
    began = asyncio.get_running_loop().time()
    assert await bob.conversation.stop(ack.run_id) == [ack.run_id]
    for device in (ann, bob):
        stopped = await device.entry("stopped", run_id=ack.run_id)
        assert device.time_of(stopped) - began < AT_ONCE_S
    assert stopped.text == "".join(ann.written(ack.run_id)) == "one two three "
    data = stopped.data
    assert (data["input_seq"], data["attempt"], data["rolled_back"]) == (ack.seq, 1, False)
    assert (data["user_id"], data["name"]) == ("agent:teller", "Teller")
    assert data["by"]["user_id"] == bob.client.user_id
    assert data["by"]["device_id"] == bob.client.device_id
    # The waiting run starts promptly, though the gate of the stopped run has never opened.
    answer = await ann.entry("answer", run_id=waiting.run_id)
    assert ann.time_of(answer) - began < 2 * AT_ONCE_S


async def test_the_owner_of_a_stopped_run_shows_and_logs_nothing_more(devices, gate):
    ann = await devices.start("teller")
    ack = await ann.conversation.send(f"one gate:{gate} two three")
    await ann.says(ack.run_id, "one")
    await ann.conversation.stop()
    stopped = await ann.entry("stopped")
    gate.touch()
    assert (await memory(ann))["said"] == []
    mine = [e for e in await ann.conversation.log() if e.data.get("run_id") == ack.run_id]
    assert [(e.type, e.text) for e in mine[1:]] == [("stopped", stopped.text)]
    assert "".join(ann.written(ack.run_id)) == stopped.text
    told = ann.told_of(ack.run_id)
    assert [run["status"] for run in told] == ["queued", "running"]
    assert stopped.data["node"] == told[-1]["node"]


async def test_a_run_that_is_stopped_while_it_waits_never_starts(devices, gate):
    ann = await devices.start("teller")
    first = await ann.conversation.send(f"first gate:{gate} done")
    await ann.says(first.run_id, "first")
    second = await ann.conversation.send("second")
    third = await ann.conversation.send("third")
    assert await ann.conversation.stop(second.run_id) == [second.run_id]
    stopped = await ann.ended(second.run_id)
    assert (stopped.text, stopped.data["attempt"], "node" in stopped.data) == ("", 0, False)
    gate.touch()
    assert (await ann.ended(third.run_id)).type == "answer"
    assert (await ann.ended(first.run_id)).text == "first done "
    assert [run["status"] for run in ann.told_of(second.run_id)] == ["queued"]


async def test_stop_without_a_run_ends_all_of_them_and_the_second_stop_finds_none(devices, gate):
    ann = await devices.start("teller")
    acks = [await ann.conversation.send(text) for text in (f"one gate:{gate}", "two", "three")]
    await ann.says(acks[0].run_id, "one")
    assert await ann.conversation.stop() == [ack.run_id for ack in acks]
    assert await ann.conversation.stop() == []
    assert await ann.conversation.stop(acks[0].run_id) == []
    await ann.settled()
    assert [entry.data["run_id"] for entry in ann.of_type("stopped")] == [ack.run_id for ack in acks]


async def test_of_many_stops_at_once_on_all_nodes_one_ends_the_run(devices, gate):
    ann = await devices.start("teller")
    others = [await devices.join(ann, node=node) for node in (0, 1, 2)]
    ack = await ann.conversation.send(f"one gate:{gate}")
    for device in others:
        await device.says(ack.run_id, "one")
    replies = await asyncio.gather(*(device.conversation.stop(ack.run_id) for device in others))
    assert sorted(replies) == [[], [], [ack.run_id]]
    await ann.settled()
    assert len(ann.of_type("stopped")) == 1


async def test_a_non_member_cannot_stop_regenerate_or_edit(devices, gate):
    ann = await devices.start("teller")
    eve = await devices.connect("Eve", node=1)
    ack = await ann.conversation.send(f"one gate:{gate} two")
    await ann.says(ack.run_id, "one")
    there = {"conversation_id": ann.conversation.id}
    assert await refusal(eve.client.request("run:stop", {**there, "run_id": ack.run_id})) == "not_a_member"
    assert await refusal(eve.client.request("run:regenerate", {**there, "seq": ack.seq})) == "not_a_member"
    edit = {**there, "request_id": "e", "seq": ack.seq, "text": "mine"}
    assert await refusal(eve.client.request("message:edit", edit)) == "not_a_member"
    hidden = {"conversation_id": "no-such-conversation"}
    assert await refusal(eve.client.request("run:stop", hidden)) == "unknown_conversation"
    gate.touch()
    assert (await ann.ended(ack.run_id)).text == "one two "


@pytest.mark.faults
@pytest.mark.parametrize("checkpointer", ["redis", "plain"])
async def test_a_run_whose_owner_is_paused_is_stopped_at_once_and_stays_so_when_the_owner_wakes(
    start_cluster, gate, checkpointer
):
    cluster = await start_cluster(nodes=2, LANGGRAPH_JSON=LANGGRAPH_JSON, CHECKPOINTER=checkpointer)
    async with devices_of(cluster) as devices:
        ann = await devices.start("teller", node=0)
        bob = await devices.join(ann, node=1)
        ack = await ann.conversation.send(f"one gate:{gate} two")
        await bob.says(ack.run_id, "one")
        owner = int((await ann.begun(ack.run_id))["node"])
        other = bob if owner == cluster.ports[0] else ann
        await cluster.signal_node(owner, signal.SIGSTOP)
        # The graph continues at the very moment when its owner wakes.
        gate.touch()
        began = asyncio.get_running_loop().time()
        try:
            assert await other.conversation.stop() == [ack.run_id]
            stopped = await other.entry("stopped")
            assert other.time_of(stopped) - began < AT_ONCE_S
            assert stopped.text == "one "
        finally:
            await cluster.signal_node(owner, signal.SIGCONT)
        sleeper = ann if other is bob else bob
        assert (await sleeper.entry("stopped")).text == "one "
        assert await told(other, "hello") == "hello"
        assert await memory(other) == {"heard": [f"one gate:{gate} two", "hello"], "said": ["hello"]}
        log = await other.conversation.log()
        assert [e.type for e in log if e.data.get("run_id") == ack.run_id] == ["message", "stopped"]


# What a message does while a run is on


async def test_enqueue_answers_one_message_after_another(devices, gate):
    ann = await devices.start("teller")
    first = await ann.conversation.send(f"first gate:{gate}")
    await ann.says(first.run_id, "first")
    second = await ann.conversation.send("second")
    gate.touch()
    assert (await ann.ended(second.run_id)).type == "answer"
    assert (await ann.ended(first.run_id)).type == "answer"
    assert (await memory(ann))["said"] == ["first", "second"]


async def test_interrupt_ends_the_run_keeps_its_text_and_the_dialog_knows_what_was_asked(devices, gate):
    ann = await devices.start("teller", multitask_strategy="interrupt")
    bob = await devices.join(ann, node=1)
    first = await ann.conversation.send(f"one two gate:{gate} three")
    await bob.says(first.run_id, "two")
    second = await bob.conversation.send("second")
    stopped = await ann.entry("stopped", run_id=first.run_id)
    assert (stopped.text, stopped.data["rolled_back"]) == ("one two ", False)
    assert stopped.data["by"]["user_id"] == bob.client.user_id
    assert stopped.seq < second.seq, "the run ends before the message that ended it"
    assert (await ann.ended(second.run_id)).text == "second "
    assert await memory(ann) == {"heard": [f"one two gate:{gate} three", "second"], "said": ["second"]}
    assert stopped.hides == ()


async def test_rollback_ends_the_run_withdraws_its_text_and_the_dialog_forgets_what_was_asked(devices, gate):
    ann = await devices.start("teller", multitask_strategy="rollback")
    await told(ann, "before")
    first = await ann.conversation.send(f"one two gate:{gate} three")
    await ann.says(first.run_id, "two")
    second = await ann.conversation.send("second")
    stopped = await ann.entry("stopped", run_id=first.run_id)
    assert (stopped.text, stopped.data["rolled_back"]) == ("", True)
    assert stopped.hides == (stopped.seq,)
    assert (await ann.ended(second.run_id)).text == "second "
    assert await memory(ann) == {"heard": ["before", "second"], "said": ["before", "second"]}


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_of_a_burst_of_messages_only_the_last_is_answered(devices, gate, strategy):
    ann = await devices.start("teller", multitask_strategy=strategy)
    acks = [await ann.conversation.send(f"{number} gate:{gate}") for number in range(5)]
    gate.touch()
    assert (await ann.ended(acks[-1].run_id)).text == "4 "
    assert {(await ann.ended(ack.run_id)).type for ack in acks[:-1]} == {"stopped"}


async def test_reject_refuses_a_message_during_a_run_and_logs_nothing(devices, gate):
    ann = await devices.start("teller", multitask_strategy="reject")
    bob = await devices.join(ann, node=1)
    first = await ann.conversation.send(f"one gate:{gate}", request_id="first")
    await bob.says(first.run_id, "one")
    assert await refusal(bob.conversation.send("too early", request_id="mine")) == "run_in_progress"
    # What was accepted before is acknowledged again all the same.
    assert await ann.conversation.send(f"one gate:{gate}", request_id="first") == first
    gate.touch()
    await bob.ended(first.run_id)
    again = await bob.conversation.send("too early", request_id="mine")
    assert (await bob.ended(again.run_id)).text == "too early "
    messages = [e.text for e in await bob.conversation.log() if e.type == "message"]
    assert messages == [f"one gate:{gate}", "too early"]


# Regenerate


async def test_a_regenerated_answer_takes_the_place_of_the_old_one(devices):
    ann = await devices.start("teller")
    bob = await devices.join(ann, node=1)
    await told(ann, "before")
    ack = await ann.conversation.send("hello")
    old = await ann.ended(ack.run_id)
    run_id = await bob.conversation.regenerate(old.seq)
    new = await bob.ended(run_id)
    assert (new.type, new.text, new.data["replaces"]) == ("answer", "hello ", old.seq)
    assert new.data["input_seq"] == ack.seq
    assert new.data["node"] == ann.told_of(run_id)[-1]["node"] != ""
    assert await memory(ann) == {"heard": ["before", "hello"], "said": ["before", "hello"]}


async def test_regenerating_the_same_answer_twice_gives_one_run_also_from_two_devices_at_once(devices, gate):
    ann = await devices.start("teller")
    bob = await devices.join(ann, node=1)
    gate.touch()
    old = await ann.ended((await ann.conversation.send(f"hello gate:{gate}")).run_id)
    gate.unlink()
    run_ids = await asyncio.gather(*(device.conversation.regenerate(old.seq) for device in (ann, bob)))
    assert run_ids[0] == run_ids[1]
    gate.touch()
    new = await ann.ended(run_ids[0])
    assert await ann.conversation.regenerate(old.seq) == run_ids[0]
    assert await ann.conversation.regenerate(new.seq) != run_ids[0]


async def test_regenerate_is_refused_for_an_older_turn_and_during_a_run(devices, gate):
    ann = await devices.start("teller")
    old = await ann.ended((await ann.conversation.send("old")).run_id)
    latest = await ann.ended((await ann.conversation.send("latest")).run_id)
    for seq in (1, old.seq, old.data["input_seq"], latest.seq + 1):
        assert await refusal(ann.conversation.regenerate(seq)) == "not_latest"
    ack = await ann.conversation.send(f"one gate:{gate}")
    assert await refusal(ann.conversation.regenerate(latest.seq)) == "run_in_progress"
    gate.touch()
    await ann.ended(ack.run_id)
    assert await refusal(ann.conversation.regenerate(latest.seq)) == "not_latest"


async def test_a_failed_turn_is_tried_again_by_regenerate(devices, gate):
    ann = await devices.start("teller")
    await told(ann, "before")
    failed = await ann.ended((await ann.conversation.send(f"needs {gate}")).run_id)
    assert (failed.type, failed.data["code"]) == ("failed", "graph_failed")
    gate.touch()
    answer = await ann.ended(await ann.conversation.regenerate(failed.seq))
    assert (answer.type, answer.data["replaces"]) == ("answer", failed.seq)
    assert await memory(ann) == {"heard": ["before", f"needs {gate}"], "said": ["before", f"needs {gate}"]}


async def test_a_stopped_turn_can_be_regenerated(devices, gate):
    ann = await devices.start("teller")
    ack = await ann.conversation.send(f"one gate:{gate} two")
    await ann.says(ack.run_id, "one")
    await ann.conversation.stop()
    stopped = await ann.entry("stopped")
    gate.touch()
    answer = await ann.ended(await ann.conversation.regenerate(stopped.seq))
    assert (answer.text, answer.data["replaces"]) == ("one two ", stopped.seq)
    known = await memory(ann)
    assert (len(known["heard"]), len(known["said"])) == (1, 1)


async def test_regenerating_a_turn_that_ended_with_a_question_voids_the_old_question(devices):
    ann = await devices.start("asker")
    asked = await ann.ended((await ann.conversation.send("ask 1")).run_id)
    old = asked.data["interrupts"][0]["interrupt_id"]
    run_id = await ann.conversation.regenerate(asked.seq)
    again = await ann.ended(run_id)
    assert (again.type, again.data["replaces"]) == ("interrupt", asked.seq)
    assert (await ann.entry("interrupt_resolved", interrupt_id=old)).data["outcome"] == "superseded"
    assert await refusal(ann.conversation.respond(old, "approve")) == "unknown_interrupt"
    ack = await ann.conversation.respond(again.data["interrupts"][0]["interrupt_id"], "approve")
    assert json.loads((await ann.ended(ack["run_id"])).text) == {"to": "ask 1", "values": ["approve"]}


# Edit


async def test_an_edited_message_is_answered_and_the_dialog_forgets_the_old_one(devices):
    ann = await devices.start("teller")
    bob = await devices.join(ann, "Ann", node=1, same_user=True)
    await told(ann, "before")
    old = await ann.conversation.send("old words")
    await ann.ended(old.run_id)
    new = await bob.conversation.edit(old.seq, "new words")
    assert (await ann.ended(new.run_id)).text == "new words "
    message = next(e for e in ann.of_type("message") if e.seq == new.seq)
    assert (message.text, message.data["edits"]) == ("new words", old.seq)
    assert await memory(ann) == {"heard": ["before", "new words"], "said": ["before", "new words"]}


async def test_a_message_is_edited_while_its_answer_streams(devices, gate):
    ann = await devices.start("teller")
    await told(ann, "before")
    old = await ann.conversation.send(f"old gate:{gate} words")
    await ann.says(old.run_id, "old")
    new = await ann.conversation.edit(old.seq, "new words")
    stopped = await ann.ended(old.run_id)
    assert (stopped.type, stopped.text, stopped.data["rolled_back"]) == ("stopped", "", True)
    assert (await ann.ended(new.run_id)).text == "new words "
    assert await memory(ann) == {"heard": ["before", "new words"], "said": ["before", "new words"]}


async def test_editing_a_message_that_waits_leaves_the_running_run_alone(devices, gate):
    ann = await devices.start("teller")
    first = await ann.conversation.send(f"first gate:{gate}")
    await ann.says(first.run_id, "first")
    second = await ann.conversation.send("second")
    edited = await ann.conversation.edit(second.seq, "better")
    gate.touch()
    assert (await ann.ended(edited.run_id)).text == "better "
    assert (await ann.ended(first.run_id)).type == "answer"
    assert await memory(ann) == {"heard": [f"first gate:{gate}", "better"], "said": ["first", "better"]}


async def test_only_the_last_message_of_a_conversation_can_be_edited_and_only_by_its_author(devices):
    ann = await devices.start("teller")
    bob = await devices.join(ann, node=1)
    older = await ann.conversation.send("older")
    latest = await ann.conversation.send("latest")
    assert await refusal(ann.conversation.edit(older.seq, "x")) == "not_latest"
    assert await refusal(bob.conversation.edit(latest.seq, "x")) == "not_allowed"
    answer = await ann.ended(latest.run_id)
    for seq in (answer.seq, latest.seq + 100):
        assert await refusal(ann.conversation.edit(seq, "x")) == "not_latest"
    theirs = await bob.conversation.send("bob's")
    assert await refusal(ann.conversation.edit(latest.seq, "x")) == "not_latest"
    await ann.ended(theirs.run_id)
    assert [e.text for e in ann.of_type("message")] == ["older", "latest", "bob's"]


async def test_an_edit_repeated_with_its_request_id_gives_the_same_ack_and_edits_once(devices):
    ann = await devices.start("teller")
    old = await ann.conversation.send("old")
    await ann.ended(old.run_id)
    ack = await ann.conversation.edit(old.seq, "new", request_id="e-1")
    assert await ann.conversation.edit(old.seq, "new", request_id="e-1") == ack
    await ann.ended(ack.run_id)
    assert await ann.conversation.edit(old.seq, "new", request_id="e-1") == ack
    assert await refusal(ann.conversation.edit(old.seq, "other", request_id="e-1")) == "request_id_reused"
    assert await refusal(ann.conversation.send("new", request_id="e-1")) == "request_id_reused"
    assert [e.text for e in await ann.conversation.log() if e.type == "message"] == ["old", "new"]
    assert (await memory(ann))["heard"] == ["new"]


async def test_a_message_is_edited_twice_and_regenerated_and_counts_once(devices):
    ann = await devices.start("teller")
    ack = await ann.conversation.send("one")
    await ann.ended(ack.run_id)
    for text in ("two", "three"):
        ack = await ann.conversation.edit(ack.seq, text)
        answer = await ann.ended(ack.run_id)
    await ann.ended(await ann.conversation.regenerate(answer.seq))
    assert await memory(ann) == {"heard": ["three"], "said": ["three"]}


async def test_editing_the_message_that_led_to_a_question_takes_the_question_back(devices):
    ann = await devices.start("asker")
    old = await ann.conversation.send("ask 1")
    asked = await ann.ended(old.run_id)
    interrupt_id = asked.data["interrupts"][0]["interrupt_id"]
    new = await ann.conversation.edit(old.seq, "no question")
    assert json.loads((await ann.ended(new.run_id)).text) == {"to": "no question", "values": []}
    assert (await ann.entry("interrupt_resolved", interrupt_id=interrupt_id)).data["outcome"] == "superseded"
    recalled = await ann.ended((await ann.conversation.send("recall")).run_id)
    assert json.loads(recalled.text)["heard"] == ["no question", "recall"]


async def test_a_graph_that_exits_fails_its_own_run_and_the_agent_answers_as_before(devices):
    ann = await devices.start("teller")
    for _ in range(4):  # more often than there are nodes
        failed = await ann.ended((await ann.conversation.send("exit")).run_id)
        assert (failed.type, failed.data["code"]) == ("failed", "graph_failed")
    assert await told(ann, "hello") == "hello"


async def test_a_message_does_not_wait_for_the_lease_of_an_ended_run(devices):
    ann = await devices.start("teller")
    slowest = 0.0
    for number in range(60):
        began = asyncio.get_running_loop().time()
        answer = await ann.ended((await ann.conversation.send(str(number))).run_id)
        slowest = max(slowest, ann.time_of(answer) - began)
    assert slowest < AT_ONCE_S


async def test_a_cancellation_that_comes_while_a_command_is_sent_is_not_lost(served):
    redis = connect(served.redis_url)
    await redis.ping()
    cancelled = went_on = 0
    for number in range(600):
        command: Any = redis.get("nothing")
        task = asyncio.create_task(command)
        for _ in range(number % 6):
            await asyncio.sleep(0)
        if task.cancel():
            cancelled += 1
            await asyncio.wait({task})
            went_on += not task.cancelled()
        else:
            await task
    await redis.aclose()
    assert cancelled > 100
    assert went_on == 0

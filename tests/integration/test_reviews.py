"""Questions in the forms of LangChain, agent-inbox and LangGraph: how they are shown, checked and answered."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sio_clients import Refused, decisions
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.events import Entry
from tests.conftest import NODE_SETTINGS, cluster_in
from tests.served.devices import Device, Devices, devices_of

REVIEWS = str(Path(__file__).parent.with_name("served") / "reviews.json")
SERVED = {**NODE_SETTINGS, "LANGGRAPH_JSON": REVIEWS, "RUN_ATTEMPTS": "1"}
MAIL = ["send_mail", {"to": "ann"}]
FILE = ["delete_file", {"path": "x"}]


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Two nodes. A graph that fails is tried once."""
    async with cluster_in(tmp_path_factory.mktemp("reviews"), SERVED, nodes=2) as running:
        yield running


@pytest.fixture
async def devices(served: LocalCluster) -> AsyncIterator[Devices]:
    async with devices_of(served) as made:
        yield made


async def asked(device: Device, text: str) -> list[dict[str, Any]]:
    """The questions that the agent asks after this message."""
    return questions(await device.ended((await device.conversation.send(text)).run_id))


def questions(entry: Entry) -> list[dict[str, Any]]:
    assert entry.type == "interrupt", entry.data
    return list(entry.data["interrupts"])


async def answered(device: Device, ack: dict[str, Any]) -> Any:
    """What the agent says of the answer, which is JSON."""
    entry = await device.ended(ack["run_id"])
    assert entry.type == "answer", entry.data
    return json.loads(entry.text)


async def refused(device: Device, question: dict[str, Any], value: Any) -> str:
    """The message with which an answer is refused; the question stays open."""
    with pytest.raises(Refused) as caught:
        await device.conversation.respond(question["interrupt_id"], value)
    assert caught.value.code == "invalid_payload"
    await device.settled()
    assert question["interrupt_id"] in device.conversation.interrupts
    assert device.of_type("interrupt_resolved") == []
    return caught.value.message


# HumanInTheLoopMiddleware


async def test_a_review_says_what_is_to_be_done_and_which_decisions_are_allowed(devices):
    ann = await devices.start("reviewed")
    (question,) = await asked(ann, json.dumps([MAIL, FILE]))
    assert question["form"] == {
        "kind": "review",
        "text": "",
        "free": False,
        "dialect": "hitl",
        "actions": [
            {
                "name": "send_mail",
                "args": {"to": "ann"},
                "description": question["value"]["action_requests"][0]["description"],
                "decisions": ["approve", "edit", "reject", "respond"],
            },
            {
                "name": "delete_file",
                "args": {"path": "x"},
                "description": "Delete it?",
                "decisions": ["approve", "reject"],
            },
        ],
    }
    assert "Delete it?" in ann.of_type("interrupt")[0].text
    assert ann.conversation.interrupts[question["interrupt_id"]].form == question["form"]


@pytest.mark.parametrize(
    ("decision", "result"),
    [
        (decisions.approve(), "sent to ann, 1"),
        (decisions.reject(), "rejected the tool call"),
        (decisions.reject("too late"), "too late"),
        (decisions.respond("I have sent it myself"), "I have sent it myself"),
        (decisions.edit("send_mail", {"to": "bob", "copies": 2}), "sent to bob, 2"),
    ],
    ids=lambda item: item["type"] if isinstance(item, dict) else "",
)
@pytest.mark.parametrize("graph", ["reviewed", "called"])
async def test_each_decision_does_what_it_says(devices, graph, decision, result):
    ann = await devices.start(graph)
    (question,) = await asked(ann, json.dumps([MAIL]))
    ack = await ann.conversation.decide(question["interrupt_id"], decision)
    (said,) = await answered(ann, ack)
    assert result in said
    resolved = (await ann.entry("interrupt_resolved")).data
    assert resolved["value"] == {"decisions": [decision]}


async def test_a_review_of_several_actions_is_answered_by_another_device_on_another_node(devices):
    ann = await devices.start("reviewed", node=0)
    phone = await devices.join(ann, "Ann", node=1, same_user=True)
    bob = await devices.join(ann, "Bob", node=1)
    (question,) = await asked(ann, json.dumps([MAIL, FILE]))
    await bob.ended(ann.of_type("interrupt")[0].data["run_id"])
    ack = await bob.conversation.decide(
        question["interrupt_id"], decisions.edit("send_mail", {"to": "eve"}), decisions.reject("keep it")
    )
    for device in (ann, phone, bob):
        file, mail = await answered(device, ack)  # the result of the call that was rejected comes first
        assert "sent to eve, 1" in mail
        assert "keep it" in file
        assert (await device.entry("interrupt_resolved")).data["by"]["user_id"] == bob.client.user_id


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("approve", "value.decisions: should be a list with a decision for each action"),
        ({"decisions": [{"type": "approve"}]}, "value.decisions: should be 2, one for each action, not 1"),
        ({"decisions": [{"type": "approve"}] * 3}, "value.decisions: should be 2, one for each action, not 3"),
        (
            {"decisions": [{"type": "approve"}, {"type": "edit", "edited_action": {"name": "x", "args": {}}}]},
            "value.decisions.1.type: should be one of approve, reject",
        ),
        ({"decisions": [{"type": "accept"}, 7]}, "value.decisions.0.type: should be one of approve, edit, reject"),
        (
            {"decisions": [{"type": "edit", "args": {}}, {"type": "approve"}]},
            "value.decisions.0.args: is no field of the decision edit",
        ),
        (
            {"decisions": [{"type": "respond"}, {"type": "approve"}]},
            "value.decisions.0.message: should be a text",
        ),
    ],
)
async def test_a_decision_that_does_not_fit_is_refused_with_its_field_and_the_question_stays_open(
    devices, value, says
):
    ann = await devices.start("reviewed")
    (question,) = await asked(ann, json.dumps([MAIL, FILE]))
    assert (await refused(ann, question, value)).startswith(says)
    approved = [decisions.approve(), decisions.approve()]
    ack = await ann.conversation.decide(question["interrupt_id"], *approved)
    assert await answered(ann, ack) == ["sent to ann, 1", "deleted x"]


async def test_a_message_that_is_typed_during_a_review_is_a_message_and_voids_it(devices):
    ann = await devices.start("reviewed")
    await asked(ann, json.dumps([MAIL]))
    ack = await ann.conversation.send("approve")
    assert (await ann.entry("interrupt_resolved")).data["outcome"] == "superseded"
    assert (await ann.ended(ack.run_id)).type in ("answer", "failed")


async def test_an_answer_that_is_repeated_has_its_first_ack_and_a_refused_one_may_be_corrected(devices):
    ann = await devices.start("reviewed")
    (question,) = await asked(ann, json.dumps([MAIL]))
    answer = {"conversation_id": ann.conversation.id, "interrupt_id": question["interrupt_id"], "request_id": "a"}
    with pytest.raises(Refused):
        await ann.client.request("interrupt:respond", {**answer, "value": "approve"})
    fitting = {**answer, "value": {"decisions": [{"type": "approve"}]}}
    ack = await ann.client.request("interrupt:respond", fitting)
    assert await answered(ann, ack) == ["sent to ann, 1"]
    assert await ann.client.request("interrupt:respond", fitting) == ack


# One question for each call


async def test_each_call_is_asked_by_itself_and_its_edit_is_checked_by_the_schema_of_the_tool(devices):
    ann = await devices.start("called")
    mail, file = sorted(await asked(ann, json.dumps([FILE, MAIL])), key=lambda item: -len(str(item["form"])))
    assert (mail["form"]["dialect"], file["form"]["dialect"]) == ("call", "call")
    assert mail["form"]["actions"][0]["args_schema"]["properties"]["copies"]["type"] == "integer"
    assert file["form"]["actions"][0]["decisions"] == ["approve", "reject"]
    wrong = {"decisions": [decisions.edit("send_mail", {"to": "bob", "copies": "two"})]}
    says = await refused(ann, mail, wrong)
    assert says == "value.decisions.0.edited_action.args.copies: should be of type integer"
    other = {"decisions": [decisions.edit("delete_file", {"path": "y"})]}
    assert await refused(ann, mail, other) == "value.decisions.0.edited_action.name: should be send_mail"
    await ann.conversation.decide(mail["interrupt_id"], decisions.edit("send_mail", {"to": "bob", "copies": 2}))
    ack = await ann.conversation.respond(file["interrupt_id"], {"type": "reject", "message": "no"})
    results = await answered(ann, ack)
    assert any("sent to bob, 2" in result for result in results)
    assert any("with reason: no" in result for result in results)


# agent-inbox


@pytest.mark.parametrize("text", ["one", "list"])
@pytest.mark.parametrize(
    ("value", "response"),
    [
        ({"decisions": [decisions.approve()]}, {"type": "accept", "args": None}),
        ({"decisions": [decisions.ignore()]}, {"type": "ignore", "args": None}),
        ({"decisions": [decisions.respond("later")]}, {"type": "response", "args": "later"}),
        (
            {"decisions": [decisions.edit("write_mail", {"to": "bob"})]},
            {"type": "edit", "args": {"action": "write_mail", "args": {"to": "bob"}}},
        ),
        ([{"type": "accept", "args": None}], {"type": "accept", "args": None}),
    ],
)
async def test_the_answer_to_a_human_interrupt_is_written_as_agent_inbox_does(devices, text, value, response):
    ann = await devices.start("inbox")
    (question,) = await asked(ann, text)
    (action,) = question["form"]["actions"]
    assert (action["name"], action["description"]) == ("write_mail", "A mail to Ann")
    assert action["decisions"] == ["approve", "edit", "respond", "ignore"]
    ack = await ann.conversation.respond(question["interrupt_id"], value)
    assert await answered(ann, ack) == [response]


async def test_two_human_interrupts_at_once_are_two_actions_of_a_review(devices):
    ann = await devices.start("inbox")
    (question,) = await asked(ann, "two")
    edited = decisions.edit("write_mail", {"to": "bob"})
    says = await refused(ann, question, {"decisions": [edited, edited]})
    assert says == "value.decisions.1.type: should be one of approve, respond, ignore"
    ack = await ann.conversation.decide(question["interrupt_id"], decisions.approve(), decisions.ignore())
    assert await answered(ann, ack) == [{"type": "accept", "args": None}, {"type": "ignore", "args": None}]


# A schema of the answer


async def test_an_answer_is_checked_against_the_schema_that_the_graph_asks_with(devices):
    ann = await devices.start("typed")
    (question,) = await asked(ann, "type")
    assert (question["form"]["kind"], question["form"]["text"]) == ("schema", "Which room?")
    assert question["form"]["schema"]["properties"]["room"]["enum"] == ["blue", "red"]
    wrong = [
        ({"people": "two"}, "value.people: should be of type integer"),
        ({"people": 21}, "value.people: should fit maximum 20"),
        ({"people": 2, "room": "green"}, "value.room: should be one of blue, red"),
        ({"people": 2, "name": "ANN"}, "value.name: should fit pattern ^[a-z]+$"),
        ({"room": "red"}, "value: should have people"),
        (7, "value: should be of type object"),
    ]
    for value, says in wrong:
        assert await refused(ann, question, value) == says
    ack = await ann.conversation.respond(question["interrupt_id"], {"people": 2, "room": "red"})
    assert await answered(ann, ack) == {"people": 2, "room": "red", "name": "ann"}


async def test_a_schema_may_stand_in_the_question_and_one_that_is_broken_is_left_out(devices):
    ann = await devices.start("typed")
    (question,) = await asked(ann, "inside")
    assert question["form"] == {
        "kind": "schema",
        "text": "How many?",
        "free": False,
        "schema": {"type": "integer"},
    }
    assert await refused(ann, question, "three") == "value: should be of type integer"
    assert await answered(ann, await ann.conversation.respond(question["interrupt_id"], 3)) == 3
    (question,) = await asked(ann, "broken")
    assert question["form"] == {"kind": "text", "text": "What?", "free": True}
    assert await answered(ann, await ann.conversation.respond(question["interrupt_id"], "that")) == "that"


# Answers that the graph cannot use


@pytest.mark.parametrize("graph", ["fussy", "nested_fussy"])
async def test_an_answer_that_the_graph_cannot_use_opens_the_question_again(devices, graph):
    ann = await devices.start(graph)
    bob = await devices.join(ann)
    (question,) = await asked(ann, "one")
    for _ in range(2):
        ack = await ann.conversation.respond(question["interrupt_id"], "wrong")
        again = await bob.ended(ack["run_id"])
        assert again.data["reason"] == "the agent could not continue with this answer"
        (repeated,) = questions(again)
        assert repeated == {**question, "interrupt_id": repeated["interrupt_id"]}
        assert repeated["interrupt_id"] != question["interrupt_id"]
        assert list(bob.conversation.interrupts) == [repeated["interrupt_id"]]
        question = repeated
    ack = await bob.conversation.respond(question["interrupt_id"], "right")
    assert await answered(ann, ack) == ["right", "-"]


@pytest.mark.parametrize("graph", ["fussy", "nested_fussy"])
async def test_a_run_fails_when_one_answer_is_of_no_use_and_another_was_used(devices, graph):
    ann = await devices.start(graph)
    asking = {item["value"]: item["interrupt_id"] for item in await asked(ann, "two")}
    await ann.conversation.respond(asking["first?"], "1")
    ack = await ann.conversation.respond(asking["second?"], "wrong")
    assert (await ann.ended(ack["run_id"])).data["code"] == "graph_failed"
    assert not ann.conversation.interrupts


async def test_a_run_that_fails_after_its_answer_was_used_has_failed_and_the_dialog_continues(devices):
    ann = await devices.start("fussy")
    (question,) = await asked(ann, "one")
    ack = await ann.conversation.respond(question["interrupt_id"], "late")
    assert (await ann.ended(ack["run_id"])).data["code"] == "graph_failed"
    assert not ann.conversation.interrupts
    (question,) = await asked(ann, "one")
    ack = await ann.conversation.respond(question["interrupt_id"], "right")
    assert await answered(ann, ack) == ["right", "-"]


async def test_a_question_that_is_open_again_is_superseded_by_a_message_and_answered_by_its_owner_only(devices):
    ann = await devices.start("fussy", approvals="owner")
    bob = await devices.join(ann)
    (question,) = await asked(ann, "one")
    ack = await ann.conversation.respond(question["interrupt_id"], "wrong")
    (again,) = questions(await bob.ended(ack["run_id"]))
    with pytest.raises(Refused) as caught:
        await bob.conversation.respond(again["interrupt_id"], "right")
    assert caught.value.code == "not_allowed"
    (other,) = await asked(bob, "one")
    resolved = await ann.entry("interrupt_resolved", interrupt_id=again["interrupt_id"])
    assert resolved.data["outcome"] == "superseded"
    ack = await ann.conversation.respond(other["interrupt_id"], "right")
    assert await answered(bob, ack) == ["right", "-"]


# Breakpoints


def continue_with(node: str) -> dict[str, Any]:
    return {
        "kind": "approval",
        "text": f"Continue with {node}?",
        "free": False,
        "options": [{"value": "continue", "label": "Continue"}],
    }


async def test_a_static_breakpoint_asks_whether_to_continue(devices):
    ann = await devices.start("stepped")
    for _ in range(2):  # a second turn stops at the same places
        (question,) = await asked(ann, "go")
        assert question["form"] == continue_with("think")
        assert await refused(ann, question, "go on") == "value: should be one of continue"
        ack = await ann.conversation.respond(question["interrupt_id"], "continue")
        (question,) = questions(await ann.ended(ack["run_id"]))
        assert question["form"] == continue_with("act")
        ack = await ann.conversation.respond(question["interrupt_id"], "continue")
        entry = await ann.ended(ack["run_id"])
        assert (entry.type, entry.text) == ("answer", "acted after looked, thought")
        ann.entries.clear()


async def test_a_breakpoint_inside_a_subgraph_asks_as_well(devices):
    ann = await devices.start("nested_stepped")
    (question,) = await asked(ann, "go")
    assert question["form"] == continue_with("act")
    ack = await ann.conversation.respond(question["interrupt_id"], "continue")
    assert (await ann.ended(ack["run_id"])).text == "acted after looked, thought"


async def test_a_node_that_fails_behind_its_breakpoint_is_asked_for_again(devices, tmp_path):
    ann = await devices.start("nested_stepped")
    (question,) = await asked(ann, f"needs {tmp_path / 'it'}")
    ack = await ann.conversation.respond(question["interrupt_id"], "continue")
    (question,) = questions(await ann.ended(ack["run_id"]))
    assert question["form"] == continue_with("act")
    (tmp_path / "it").touch()
    ack = await ann.conversation.respond(question["interrupt_id"], "continue")
    assert (await ann.ended(ack["run_id"])).text == "acted after looked, thought"


# In the terminal


async def test_the_terminal_shows_a_review_in_its_language_and_a_refused_answer_is_made_again(devices):
    ann = await devices.start("called")
    command = ("-m", "roomgraph", "chat", ann.conversation.id, "--url", devices.cluster.urls[1], "--name", "Bob")
    pipes: Any = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    chat = await asyncio.create_subprocess_exec(
        sys.executable, *command, **pipes, env={**os.environ, "LC_ALL": "zh_CN.UTF-8"}
    )
    lines = [json.dumps([MAIL]), "也许", "修改 copies=two", "修改 to=bob，copies=2"]
    output, _ = await asyncio.wait_for(chat.communicate("\n".join(lines).encode()), 30)
    shown = output.decode()
    for text in (
        "to: ann",
        "1 批准 · 2 修改 · 3 拒绝 · 4 回复",
        "这不是对 send_mail 的决定。",
        "未执行：value.decisions.0.edited_action.args.copies: should be of type integer",
        'Bob 已答复：修改 send_mail {"to": "bob", "copies": 2} · terminal',
        "sent to bob, 2",
    ):
        assert text in shown
        shown = shown[shown.index(text) :]  # in this order


# Takeover


@pytest.mark.faults
async def test_a_run_whose_node_dies_between_the_answer_and_its_end_continues_with_the_answer(
    start_cluster, tmp_path
):
    cluster = await start_cluster(nodes=2, LANGGRAPH_JSON=REVIEWS)
    async with devices_of(cluster) as devices:
        ann = await devices.start("reviewed")
        gate = tmp_path / "gate"
        (question,) = await asked(ann, json.dumps([MAIL, ["delete_file", {"path": f"gate:{gate}"}]]))
        made = [decisions.edit("send_mail", {"to": "bob"}), decisions.approve()]
        ack = await ann.conversation.decide(question["interrupt_id"], *made)
        running = await ann.begun(ack["run_id"])
        await cluster.signal_node(int(running["node"]), signal.SIGKILL)
        await ann.begun(ack["run_id"], 2)
        gate.touch()
        mail, file = await answered(ann, ack)
        assert "sent to bob, 1" in mail
        assert file == f"deleted gate:{gate}"

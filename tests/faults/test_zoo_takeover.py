"""Agents as people build them, whose node is killed in the middle: another node brings the run to its end."""

from __future__ import annotations

import signal

import pytest

from tests.served.zoo import call, parts_of, previewed, script, texts, tools_of

pytest_plugins = ["tests.served.zoo_fixtures"]
pytestmark = pytest.mark.faults

LOOK = call("look_up", what="tea")

# What the model is told, what the tools have noted, and what is said at the end; HOLD is where the node dies.
KILLED = {
    "agent": (script(LOOK, "say Tea is HOLD {look_up}."), ["look_up tea"], [("", "Tea is 3.")]),
    "mcp": (
        script(call("brew", tea="mint", minutes=3), "say Here is HOLD {brew}."),
        ["brew mint 3"],
        [("", "Here is mint, brewed for 3 minutes.")],
    ),
    "deep": (
        script(
            "chief> " + call("task", subagent_type="researcher", description=script(LOOK, "say It is {look_up}.")),
            "chief> " + call("write_file", file_path="/price.txt", content="3"),
            "chief> say I was HOLD told: {task}",
        ),
        ["look_up tea"],
        [("Researcher", "It is 3."), ("", "I was told: It is 3.")],
    ),
    "supervisor": (
        script(
            "supervisor> call transfer_to_buyer {}",
            "buyer> " + LOOK,
            "buyer> say Tea is HOLD {look_up}.",
            "supervisor> say That is 3.",
        ),
        ["look_up tea"],
        [("Buyer", "Tea is 3."), ("Supervisor", "That is 3.")],
    ),
    "swarm": (
        script("alice> call transfer_to_bob {}", "bob> " + LOOK, "bob> say Tea is HOLD {look_up}."),
        ["look_up tea"],
        [("Bob", "Tea is 3.")],
    ),
    "agent_anthropic": (script(LOOK, "say Tea is HOLD {look_up}."), ["look_up tea"], [("", "Tea is 3.")]),
    "middleware": (
        script(LOOK, "say Tea is HOLD {look_up}."),
        ["look_up tea"],
        [("", "Tea is 3.")],
    ),
}


@pytest.mark.parametrize("kind", KILLED)
async def test_a_run_whose_node_is_killed_while_the_model_speaks_ends_on_another_node(
    zoo, zoo_devices, kind, request
):
    written, executed, said = KILLED[kind]
    hold = request.node.callspec.id
    ann = await zoo_devices.start(kind)
    before = len(zoo.executed())
    ack = await ann.conversation.send(written.replace("HOLD", f"hold:{hold}"))
    await zoo.models.reached(hold)
    port = int((await ann.begun(ack.run_id))["node"])
    await zoo.cluster.signal_node(port, signal.SIGKILL)
    zoo.models.release(hold)
    try:
        answer = await ann.ended(ack.run_id)
        assert (answer.type, answer.data["attempt"]) == ("answer", 2), answer.data
        name = answer.data["name"]
        spoken = [(speaker or name, text) for speaker, text in said]
        assert texts(parts_of(answer))[-1] == spoken[-1]
        assert texts(previewed(ann, ack.run_id))[-1] == spoken[-1]
        assert all(status == "done" for _, status in tools_of(answer))
        assert zoo.executed()[before:] == executed, "what was done is not done again"
        again = await ann.conversation.send("say Still here.")
        assert (await ann.ended(again.run_id)).data["text"].strip() == "Still here."
    finally:
        await zoo.cluster.start_node(port)


async def test_a_subagent_whose_node_is_killed_goes_on_where_it_was(zoo, zoo_devices):
    ann = await zoo_devices.start("deep")
    before = len(zoo.executed())
    work = script(LOOK, "say It is hold:inside {look_up}.")
    ack = await ann.conversation.send(
        script(
            "chief> " + call("task", subagent_type="researcher", description=work),
            "chief> say The researcher says: {task}",
        )
    )
    await zoo.models.reached("inside")
    port = int((await ann.begun(ack.run_id))["node"])
    await zoo.cluster.signal_node(port, signal.SIGKILL)
    zoo.models.release("inside")
    try:
        answer = await ann.ended(ack.run_id)
        assert answer.data["text"].strip() == "The researcher says: It is 3."
        assert zoo.executed()[before:] == ["look_up tea"]
    finally:
        await zoo.cluster.start_node(port)


async def test_a_mail_that_waits_for_a_decision_is_sent_by_the_node_that_is_left(zoo, zoo_devices):
    ann = await zoo_devices.start("approvals")
    before = len(zoo.executed())
    ack = await ann.conversation.send(script(call("send_mail", to="bo", text="tea"), "say Done: {send_mail}"))
    asked = await ann.ended(ack.run_id)
    port = int((await ann.begun(ack.run_id))["node"])
    await zoo.cluster.signal_node(port, signal.SIGKILL)
    try:
        decisions = {"decisions": [{"type": "approve"}]}
        given = await ann.conversation.respond(asked.data["interrupts"][0]["interrupt_id"], decisions)
        assert (await ann.ended(given["run_id"])).data["text"].strip() == "Done: sent to bo: tea"
        assert zoo.executed()[before:] == ["send_mail bo tea"]
    finally:
        await zoo.cluster.start_node(port)


async def test_questions_of_a_subgraph_are_answered_on_the_node_that_is_left(zoo, zoo_devices):
    ann = await zoo_devices.start("subgraph")
    ack = await ann.conversation.send("some tea")
    asked = await ann.ended(ack.run_id)
    port = int((await ann.begun(ack.run_id))["node"])
    await zoo.cluster.signal_node(port, signal.SIGKILL)
    try:
        given = await ann.conversation.respond(asked.data["interrupts"][0]["interrupt_id"], "yes")
        assert (await ann.ended(given["run_id"])).data["text"] == "2 cups are ordered."
    finally:
        await zoo.cluster.start_node(port)

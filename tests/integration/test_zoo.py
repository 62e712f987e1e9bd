"""Agents as people build them, unchanged: clients see the answer, its speakers, each tool once, and a next turn.

The model servers refuse what OpenAI and Anthropic refuse; no test here may make them do so.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from sio_clients import Refused
from tests.served.devices import Device
from tests.served.zoo import call, parts_of, previewed, reported_tools, script, texts, tools_of
from tests.waiting import poll

pytest_plugins = ["tests.served.zoo_fixtures"]
pytestmark = pytest.mark.usefixtures("no_rule_is_broken")
BOTH = ["", pytest.param("_anthropic", marks=pytest.mark.faults)]  # the other provider: some minutes more


async def turn(device: Device, text: str) -> Any:
    """Send a message; the run's final entry, all of which was streamed before, in its order, and nothing twice."""
    ack = await device.conversation.send(text)
    ended = await device.ended(ack.run_id)
    if ended.type == "answer":
        shown, rest = previewed(device, ack.run_id), parts_of(ended)
        for part in shown:
            assert shown.count(part) == 1, "nothing is said twice"
            if rest and part == rest[0]:
                rest.pop(0)
        if shown:  # what only a tool has said, or no message at all, comes with the entry
            assert [part for part in rest if part["kind"] != "data"] == [], f"the preview was {shown}"
        reported = reported_tools(device, ack.run_id)
        assert len(set(reported)) == len(reported), "each call and each result is reported once"
        assert {tool["id"] for tool in ended.data["tools"]} <= {tool for tool, _ in reported}
    return ended


# --- two turns of each kind of agent: what is said, by whom, and with which tools

BUY = script(
    call("look_up", what="tea") + " + " + call("multiply", a=6, b=7), "say Tea is {look_up}, and {multiply}."
)
BREW = script(call("brew", tea="mint", minutes=3), "say Here is {brew}.")
DEEP = script(
    "chief> "
    + call(
        "task", subagent_type="researcher", description=script(call("look_up", what="tea"), "say It is {look_up}.")
    ),
    "chief> " + call("write_file", file_path="/price.txt", content="3"),
    "chief> say The researcher says: {task}",
)
TEAM = script(
    "supervisor> call transfer_to_buyer {}",
    "buyer> " + call("look_up", what="tea"),
    "buyer> say Tea is {look_up}.",
    "supervisor> call transfer_to_accountant {}",
    "accountant> " + call("multiply", a=3, b=2),
    "accountant> say That is {multiply}.",
    "supervisor> say Two cups are 6.",
)
SWARM = script(
    "alice> call transfer_to_bob {}", "bob> " + call("look_up", what="tea"), "bob> say Tea is {look_up}."
)

TURNS = {
    "agent": (BUY, [("", "Tea is 3, and 42.")], ["look_up", "multiply"]),
    "mcp": (BREW, [("", "Here is mint, brewed for 3 minutes.")], ["brew"]),
    "deep": (
        DEEP,
        [("Researcher", "It is 3."), ("", "The researcher says: It is 3.")],
        ["task", "write_file"],
    ),
    "supervisor": (
        TEAM,
        [("Buyer", "Tea is 3."), ("Accountant", "That is 6."), ("Supervisor", "Two cups are 6.")],
        ["transfer_to_buyer", "transfer_to_accountant"],
    ),
    "swarm": (SWARM, [("Bob", "Tea is 3.")], ["transfer_to_bob", "look_up"]),
}


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize("kind", TURNS)
async def test_an_agent_answers_twice_and_shows_who_says_what(zoo, zoo_devices, kind, provider):
    written, said, tools = TURNS[kind]
    ann = await zoo_devices.start(kind + provider)
    before = len(zoo.executed())
    answer = await turn(ann, written)
    name = answer.data["name"]
    heard = texts(previewed(ann, answer.data["run_id"]))
    assert heard == [(speaker or name, text) for speaker, text in said]
    assert texts(parts_of(answer))[-1] == heard[-1]
    assert answer.data["text"].strip() == said[-1][1]
    called = [name for name, _ in tools_of(answer)]
    assert [name for name in called if name in tools] == tools
    executed = zoo.executed()[before:]
    assert len(executed) == len(set(executed)), "each tool is executed once"
    again = await turn(ann, "say Is that all?")
    assert texts(parts_of(again))[-1][1] == "Is that all?"
    assert tools_of(again) == [], "tools of an earlier turn are not reported again"


async def test_a_plain_chat_answers_twice(zoo_devices):
    ann = await zoo_devices.start("chat")
    for text in ("Hello.", "Hello again."):
        assert (await turn(ann, f"say {text}")).data["text"] == text


WAITS = {
    "agent": "call wait_for PATH",
    "mcp": "call brew_until PATH",
    "deep": 'call task {"subagent_type": "researcher", "description": "call wait_for QUOTED"}',
    "supervisor": "supervisor> call transfer_to_buyer {}\nbuyer> call wait_for PATH",
    "swarm": "alice> call transfer_to_bob {}\nbob> call wait_for PATH",
}


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize("kind", WAITS)
async def test_after_a_stop_in_a_tool_the_dialog_goes_on(zoo, zoo_devices, tmp_path, kind, provider):
    ann = await zoo_devices.start(kind + provider)
    assert (await turn(ann, "say Hello.")).type == "answer"
    before = len(zoo.executed())
    args = json.dumps({"path": str(tmp_path / "gate")})
    written = WAITS[kind].replace("QUOTED", json.dumps(args)[1:-1]).replace("PATH", args)
    ack = await ann.conversation.send(written)
    await poll(lambda: len(zoo.executed()) > before, "the tool")
    await ann.conversation.stop(ack.run_id)
    assert (await ann.ended(ack.run_id)).type == "stopped"
    answer = await turn(ann, "say Here I am.")
    assert (answer.type, answer.data.get("text", "").strip()) == ("answer", "Here I am.")
    assert (await turn(ann, "say And here.")).type == "answer"


@pytest.mark.parametrize("provider", BOTH)
async def test_a_message_that_interrupts_a_tool_is_answered(zoo, zoo_devices, tmp_path, provider):
    ann = await zoo_devices.start("agent" + provider, multitask_strategy="interrupt")
    before = len(zoo.executed())
    ack = await ann.conversation.send(call("wait_for", path=str(tmp_path / "gate")))
    await poll(lambda: len(zoo.executed()) > before, "the tool")
    assert (await turn(ann, "say Something else.")).data["text"] == "Something else."
    assert (await ann.ended(ack.run_id)).type == "stopped"
    again = await ann.conversation.regenerate(ann.of_type("answer")[-1].seq)
    assert (await ann.ended(again)).data["text"] == "Something else."


# --- approvals

MAIL = script(call("send_mail", to="bo", text="tea"), "say Done: {send_mail}")


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize(
    ("decision", "said", "sent"),
    [
        ({"type": "approve"}, "Done: sent to bo: tea", ["send_mail bo tea"]),
        (
            {"type": "edit", "edited_action": {"name": "send_mail", "args": {"to": "cy", "text": "tea"}}},
            "sent to cy: tea",
            ["send_mail cy tea"],
        ),
        ({"type": "reject", "message": "not now"}, "reason: not now", []),
    ],
)
async def test_a_mail_is_sent_as_people_decide(zoo, zoo_devices, provider, decision, said, sent):
    ann = await zoo_devices.start("approvals" + provider)
    before = len(zoo.executed())
    asked = await turn(ann, MAIL)
    (question,) = asked.data["interrupts"]
    assert question["form"]["kind"] == "review"
    assert question["form"]["actions"][0]["args"] == {"to": "bo", "text": "tea"}
    ack = await ann.conversation.respond(question["interrupt_id"], {"decisions": [decision]})
    answer = await ann.ended(ack["run_id"])
    assert said in answer.data["text"]
    assert zoo.executed()[before:] == sent
    assert (await turn(ann, "say Thanks.")).type == "answer"


async def test_a_decision_that_is_not_allowed_is_refused_and_the_question_stays_open(zoo, zoo_devices):
    ann = await zoo_devices.start("approvals")
    (question,) = (await turn(ann, MAIL)).data["interrupts"]
    for wrong in ({"type": "respond", "message": "hm"}, {"type": "aprove"}, {}):
        with pytest.raises(Refused, match="decisions"):
            await ann.conversation.respond(question["interrupt_id"], {"decisions": [wrong]})
    ack = await ann.conversation.respond(question["interrupt_id"], {"decisions": [{"type": "approve"}]})
    assert (await ann.ended(ack["run_id"])).data["text"] == "Done: sent to bo: tea"


async def test_a_message_instead_of_a_decision_leaves_a_dialog_that_goes_on(zoo, zoo_devices):
    ann = await zoo_devices.start("approvals")
    before = len(zoo.executed())
    await turn(ann, MAIL)
    answer = await turn(ann, "say Let us talk of something else.")
    assert answer.data["text"] == "Let us talk of something else."
    assert zoo.executed()[before:] == []


@pytest.mark.parametrize("provider", BOTH)
async def test_a_deep_agent_asks_before_it_uses_a_tool(zoo_devices, provider):
    ann = await zoo_devices.start("deep" + provider)
    written = script("chief> " + call("multiply", a=6, b=7), "chief> say It is {multiply}.")
    asked = await turn(ann, written)
    given = {"decisions": [{"type": "approve"}]}
    ack = await ann.conversation.respond(asked.data["interrupts"][0]["interrupt_id"], given)
    assert (await ann.ended(ack["run_id"])).data["text"] == "It is 42."
    assert (await turn(ann, written.replace("6", "5"))).type == "interrupt"
    assert (await turn(ann, "say Never mind.")).data["text"] == "Never mind."


# --- middleware, schemas, routes


async def test_limits_and_retries_of_middleware_work_and_a_summary_is_not_said(zoo, zoo_devices):
    ann = await zoo_devices.start("middleware")
    answer = await turn(ann, script(call("call_supplier", name="bo"), "say {call_supplier}."))
    assert answer.data["text"] == "bo delivers."
    twice = script(*[call("look_up", what=what) for what in ("tea", "coffee")], "say {look_up}")
    assert "limit" in (await turn(ann, twice)).data["text"]
    for number in range(4):
        answer = await turn(ann, f"say Turn {number}.")
        assert [text for _, text in texts(parts_of(answer))] == [f"Turn {number}."]
    summaries = [
        body for body in zoo.models.requests if "Context Extraction Assistant" in json.dumps(body["messages"])
    ]
    assert summaries, "a summary was made"


async def test_an_answer_in_a_schema_is_data(zoo_devices):
    ann = await zoo_devices.start("structured")
    answer = await turn(ann, script(call("look_up", what="tea"), call("Order", item="tea", cups=2)))
    data = [part["data"] for part in parts_of(answer) if part["kind"] == "data"]
    assert data == [{"value": {"item": "tea", "cups": 2}}]
    assert (await turn(ann, script(call("Order", item="coffee", cups=1)))).type == "answer"


async def test_the_choice_of_a_router_is_not_said(zoo_devices):
    ann = await zoo_devices.start("router")
    choice = 'Route> json {"to": "kitchen"}'
    answer = await turn(ann, script(choice, "kitchen> say It is ready.", "office> say It is closed."))
    assert [(part["kind"], part["text"].strip()) for part in parts_of(answer)] == [("text", "It is ready.")]


# --- many who speak at once, graphs in graphs


async def test_writers_that_speak_at_once_have_a_part_each(zoo_devices):
    ann = await zoo_devices.start("map_reduce")
    answer = await turn(ann, "alpha beta gamma")
    assert answer.data["text"] == "3 verses"
    said = [text for _, text in texts(previewed(ann, answer.data["run_id"]))]
    verses = [f"{word} one {word} two {word} three {word} four" for word in ("alpha", "beta", "gamma")]
    assert sorted(said[:-1]) == verses
    assert said[-1] == "3 verses"


async def test_subagents_that_speak_at_once_have_a_part_each_on_every_device(zoo, zoo_devices):
    ann = await zoo_devices.start("deep")
    bob = await zoo_devices.join(ann)
    slow = call("task", subagent_type="researcher", description="say Tea hold:slow is green.")
    quick = call("task", subagent_type="researcher", description="say Coffee is hold:quick black.")
    ack = await ann.conversation.send(script(f"chief> {slow} + {quick}", "chief> say Both are known."))
    await zoo.models.reached("slow")
    await zoo.models.reached("quick")
    zoo.models.release("quick")
    await ann.says(ack.run_id, "black.")
    zoo.models.release("slow")
    name = (await ann.ended(ack.run_id)).data["name"]
    await bob.ended(ack.run_id)
    said = texts(previewed(ann, ack.run_id))
    assert sorted(said[:2]) == [("Researcher", "Coffee is black."), ("Researcher", "Tea is green.")]
    assert said[2:] == [(name, "Both are known.")]
    assert texts(previewed(bob, ack.run_id)) == said


async def test_a_question_in_a_subgraph_with_a_state_of_its_own_is_answered(zoo_devices):
    ann = await zoo_devices.start("subgraph")
    for cups in (2, 3):
        asked = await turn(ann, "some tea")
        assert asked.data["interrupts"][0]["value"] == f"{cups} cups?"
        ack = await ann.conversation.respond(asked.data["interrupts"][0]["interrupt_id"], "yes")
        assert (await ann.ended(ack["run_id"])).data["text"] == f"{cups} cups are ordered."


async def test_an_agent_in_a_tool_is_heard_under_its_own_name_and_is_no_part_of_the_answer(zoo_devices):
    ann = await zoo_devices.start("agent_in_tool")
    question = script(call("look_up", what="tea"), "say It is {look_up}.")
    answer = await turn(
        ann, script("clerk> " + call("ask_expert", question=question), "clerk> say So: {ask_expert}")
    )
    name = answer.data["name"]
    assert texts(parts_of(answer)) == [(name, "So: It is 3.")]
    assert texts(previewed(ann, answer.data["run_id"])) == [("Expert", "It is 3."), (name, "So: It is 3.")]


# --- more than text


async def test_reasoning_and_citations_are_parts(zoo_devices):
    ann = await zoo_devices.start("thinker")
    written = script(
        "think Look first. + " + call("look_up", what="tea"),
        "think Easy. + cite https://example.org Tea is {look_up}.",
    )
    answer = await turn(ann, written)
    kinds = [(part["kind"], part["text"].strip()) for part in parts_of(answer)]
    assert kinds[:3] == [("reasoning", "Look first."), ("reasoning", "Easy."), ("text", "Tea is 3.")]
    (citation,) = [part["data"] for part in parts_of(answer) if part["kind"] == "citation"]
    assert citation["url"] == "https://example.org"
    assert answer.data["text"].strip() == "Tea is 3."
    assert (await turn(ann, "think Hm. + say Yes.")).data["text"] == "Yes."


async def test_a_refusal_of_the_model_is_an_answer_and_the_dialog_goes_on(zoo_devices):
    ann = await zoo_devices.start("agent_anthropic")
    refused = await turn(ann, "refuse I will not say that.")
    assert (refused.type, refused.data["text"].strip()) == ("answer", "I will not say that.")
    assert (await turn(ann, "say Hello.")).type == "answer"


async def test_a_refusal_that_langchains_client_drops_fails_and_the_dialog_goes_on(zoo_devices):
    ann = await zoo_devices.start("agent")  # of OpenAI's stream it reads no `refusal`: the message is empty
    assert (await turn(ann, "refuse I will not say that.")).data["code"] == "no_answer"
    assert (await turn(ann, "say Hello.")).type == "answer"


async def test_images_and_files_are_parts_and_an_image_alone_is_an_answer(zoo_devices):
    ann = await zoo_devices.start("painter")
    answer = await turn(ann, "a pixel")
    data: list[Any] = [(part["kind"], part.get("data")) for part in parts_of(answer)]
    assert [kind for kind, _ in data] == ["text", "image", "image", "file"]
    assert data[1][1]["url"].startswith("data:image/png;base64,")
    assert data[2][1]["url"] == "https://example.org/photo.jpg"
    assert (data[3][1]["mime_type"], data[3][1]["name"]) == ("text/csv", "prices.csv")
    alone = await turn(ann, "only a pixel")
    assert [part["kind"] for part in parts_of(alone)] == ["image"]


# --- context, store, progress, other APIs


async def test_a_graph_has_its_context_its_store_and_the_person(zoo_devices):
    ann = await zoo_devices.start("memory", "Ann")
    assert (await turn(ann, "tea")).data["text"] == "Hello, Ann: tea"
    other = await zoo_devices.connect(of=ann)
    other.follow(await other.client.create(graph="memory", context={"greeting": "Good day", "most": 5}))
    assert (await turn(other, "coffee")).data["text"] == "Good day, Ann: coffee, tea"


async def test_langmem_remembers_a_person_across_conversations(zoo_devices):
    ann = await zoo_devices.start("memory_agent")
    kept = script(call("manage_memory", content="Ann likes tea", action="create"), "say Noted.")
    assert (await turn(ann, kept)).data["text"] == "Noted."
    other = await zoo_devices.connect(of=ann)
    other.follow(await other.client.create(graph="memory_agent"))
    found = script(call("search_memory", query="tea"), "say Found {search_memory}")
    assert "Ann likes tea" in (await turn(other, found)).data["text"]
    bob = await zoo_devices.start("memory_agent", "Bob")
    assert "Ann likes tea" not in (await turn(bob, found)).data["text"]


async def test_progress_of_long_work_is_reported_in_order(zoo_devices):
    ann = await zoo_devices.start("progress")
    ack = await ann.conversation.send("300")
    assert (await ann.ended(ack.run_id)).data["text"] == "300 steps are done."
    done = [told["data"]["done"] for told in ann.reports(ack.run_id) if told["kind"] == "custom"]
    assert done == sorted(done)
    assert done[-1] == 300


async def test_the_functional_api_answers_asks_and_remembers(zoo_devices):
    ann = await zoo_devices.start("functional")
    assert (await turn(ann, "tea")).data["text"] == "TEA (1)"
    asked = await turn(ann, "ask")
    ack = await ann.conversation.respond(asked.data["interrupts"][0]["interrupt_id"], "yes")
    assert (await ann.ended(ack["run_id"])).data["text"] == "ASK, yes (2)"


async def test_a_graph_without_messages_answers_and_remembers(zoo_devices):
    ann = await zoo_devices.start("reverser")
    assert (await turn(ann, "tea")).data["text"] == "aet (1)"
    assert (await turn(ann, "mint")).data["text"] == "tnim (2)"


# --- graphs that hurt


@pytest.mark.parametrize(
    ("does", "code"),
    [
        ("exit", "graph_failed"),
        ("odd", "graph_failed"),
        ("interrupt the program", "graph_failed"),
        ("redis", "graph_failed"),
        ("timeout", "graph_failed"),
        ("unicode", "graph_failed"),
        ("cancel", "graph_failed"),
        ("nothing", "no_answer"),
    ],
)
async def test_a_graph_that_hurts_fails_its_own_run_only(zoo, zoo_devices, does, code):
    ann, bob = await zoo_devices.start("hurting"), await zoo_devices.start("agent", "Bob", node=1)
    failed = await turn(ann, does)
    assert (failed.type, failed.data["code"]) == ("failed", code)
    assert (await turn(ann, "be good")).data["text"] == "unhurt"
    assert (await turn(bob, "say Well.")).data["text"] == "Well."
    assert not zoo.cluster.unexpected_ends

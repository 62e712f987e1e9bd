"""Agents give conversations titles, and take none away that a person has given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from sio_server.conversation.runs import LeaseLost
from sio_server.dialog.graphs.assistant import builder
from sio_server.dialog.graphs.concierge import builder as concierge
from sio_server.dialog.titles import set_title, title_in, title_of
from sio_server.store.keys import ConversationKeys
from sio_server.store.scripts import Request
from tests.scripted_models import Scripted
from tests.served.dialogs import ANN, Dialogs, graph_of, said

pytest_plugins = ["tests.served.dialog_fixtures"]


def titling(state: Mapping[str, Any]) -> dict[str, Any]:
    """Call the conversation as the person says."""
    set_title(state["messages"][-1].text)
    return said("done")


async def titles(dialogs: Dialogs, conversation_id: str) -> tuple[str, list[str]]:
    """The title now, and those that entries say agents have given."""
    page = await dialogs.log.page(conversation_id, ANN.user_id, limit=100)
    entries = [json.loads(text) for _, text in page.entries]
    renamed = [one["data"] for one in entries if one["type"] == "conversation_renamed"]
    by_agents = [data["title"] for data in renamed if (data["user_id"], data["name"]) == ("agent:work", "Work")]
    return str(await dialogs.redis.hget(ConversationKeys(conversation_id).meta, "title")), by_agents


async def ask(dialogs: Dialogs, conversation_id: str, text: str) -> None:
    entry = await dialogs.ended_with(conversation_id, await dialogs.send(conversation_id, text))
    assert entry.type == "answer", entry


async def test_an_agent_titles_a_conversation_until_a_person_does(dialogs: Dialogs) -> None:
    await dialogs.serve(graph_of(titling))
    room = await dialogs.conversation()
    for text in ("One", "One", "  Two \n lines ", "\u200b "):
        await ask(dialogs, room, text)
    assert await titles(dialogs, room) == ("Two lines", ["One", "Two lines"])
    await dialogs.members.rename(ANN, room, "Mine", Request(ANN.user_id, "rename", "0" * 40))
    await ask(dialogs, room, "Three")
    assert await titles(dialogs, room) == ("Mine", ["One", "Two lines"])


async def test_a_title_that_a_person_chose_at_the_beginning_stays(dialogs: Dialogs) -> None:
    await dialogs.serve(graph_of(titling))
    room = await dialogs.conversation(title="Chosen")
    await ask(dialogs, room, "Other")
    assert await titles(dialogs, room) == ("Chosen", [])


async def test_where_agents_may_give_no_titles_the_run_is_as_without(dialogs: Dialogs) -> None:
    await dialogs.serve(graph_of(titling), titles=False)
    room = await dialogs.conversation()
    await ask(dialogs, room, "One")
    assert await titles(dialogs, room) == ("", [])


async def test_an_attempt_that_has_lost_its_lease_gives_no_title(dialogs: Dialogs) -> None:
    room = await dialogs.conversation()
    await dialogs.send(room, "go")
    runs = dialogs.runs()
    run: Any = await runs.claim_run(room)
    await runs.hand_over_run(run)
    with pytest.raises(LeaseLost):
        await runs.set_title(run, "Late")
    assert await titles(dialogs, room) == ("", [])


async def test_the_concierge_titles_from_the_first_message(dialogs: Dialogs) -> None:
    await dialogs.serve(concierge(word_delay=0))
    room = await dialogs.conversation()
    for text in ("@concierge a workshop tomorrow at 10, please", "for 6 people"):
        await dialogs.ended_with(room, await dialogs.send(room, text))
    title = "a workshop tomorrow at 10, please"
    assert await titles(dialogs, room) == (title, [title])


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("  a  room\nfor 6 ", "a room for 6"),
        ("word " * 30, "word " * 10 + "word…"),
        ("会" * 100, "会" * 59 + "…"),
        ("", ""),
    ],
)
def test_a_title_is_the_beginning_of_a_text_in_one_line(text: str, title: str) -> None:
    assert title_of(text) == title


def test_what_sets_no_title_is_reported_as_before() -> None:
    for part in ("x", {"text": "x"}, {"roomgraph_title": "x", "more": 1}, None):
        assert title_in(part) is None
    assert title_in({"roomgraph_title": "a\ud800 b"}) == "a\ufffd b"


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ("Bill \u202efdp.exe", "Bill fdp.exe"),  # it would turn what is shown after it
        ("a\x07\tb\u2028c", "a b c"),
        ("Pay\u200bpal \u2066x\ufeff", "Paypal x"),
        ("\u2800\u3164", None),
        ("👩\u200d👩\u200d👧 at home", "👩\u200d👩\u200d👧 at home"),
        ("x" * 199 + "👩\u200d👧", "x" * 199 + "👩"),
    ],
)
def test_a_title_of_an_agent_hides_nothing_as_little_as_one_of_a_person(given: str, title: str | None) -> None:
    assert title_in({"roomgraph_title": given}) == title


@pytest.mark.parametrize("titled", [True, False])
async def test_the_assistant_asks_the_model_for_a_title_in_the_first_turn(titled: bool) -> None:
    model = Scripted(replies=["Hello"], asked=[])
    graph = builder(model, titles=titled).compile(checkpointer=InMemorySaver())
    given: list[Any] = []
    for turn in range(2):
        message = HumanMessage("hi", name="ann", id=f"m-{turn}")
        config: Any = {"configurable": {"thread_id": "t"}}
        async for part in graph.astream({"messages": [message]}, config, stream_mode="custom"):
            given.append(title_in(part))
        state = await graph.aget_state(config)
        assert isinstance(state.values["messages"][-1], AIMessage)
    assert len(model.asked) == (3 if titled else 2), "once in a conversation"
    assert given == (["Hello"] if titled else [])


class Silent(Scripted):
    """A model that answers, and gives no titles."""

    def _next(self, messages: Any) -> Any:
        if "Title this" in messages[0].text:
            raise ConnectionError("away")
        return super()._next(messages)


async def test_an_assistant_whose_model_gives_no_title_answers_all_the_same() -> None:
    graph = builder(Silent(replies=["Hello"], asked=[]), titles=True).compile()
    state = await graph.ainvoke({"messages": [HumanMessage("hi", name="ann", id="m")]})
    assert state["messages"][-1].text == "Hello"

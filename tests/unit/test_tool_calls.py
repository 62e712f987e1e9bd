"""No conversation breaks for good: before a turn begins, each tool call has a result."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from sio_server.dialog.answers import Questions
from sio_server.dialog.tool_calls import with_answers
from tests.scripted_models import ProviderRefused, Scripted, calls, check_tool_calls
from tests.single_dialog import Dialog

CALL = calls("book")
TWO = calls("book", "look")


def result(call_id: str) -> ToolMessage:
    return ToolMessage("done", tool_call_id=call_id)


def kinds(messages: Any) -> list[str]:
    return [item.type + ("!" if getattr(item, "status", "") == "error" else "") for item in messages]


HISTORIES: dict[str, tuple[list[Any], list[str]]] = {
    "the last message": ([HumanMessage("go"), CALL], ["human", "ai", "tool!"]),
    "one of two": ([TWO, result("call-book-0")], ["ai", "tool", "tool!"]),
    "the first of two": ([TWO, result("call-look-1")], ["ai", "tool", "tool!"]),
    "in the middle": ([CALL, HumanMessage("no"), AIMessage("ok")], ["ai", "tool!", "human", "ai"]),
    "two messages": (
        [calls("a", tag="1"), HumanMessage("x"), calls("a", tag="2")],
        ["ai", "tool!", "human", "ai", "tool!"],
    ),
    "arguments that are no JSON": (
        [AIMessage("", invalid_tool_calls=[{"name": "book", "args": "{", "id": "c", "error": "bad"}])],
        ["ai", "tool!"],
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_each_call_without_a_result_gets_an_error_right_after_its_message(name: str) -> None:
    messages, expected = HISTORIES[name]
    with pytest.raises(ProviderRefused):
        check_tool_calls(messages)
    answered = with_answers(messages)
    assert answered is not None
    assert kinds(answered) == expected
    check_tool_calls(answered)
    assert with_answers(answered) is None


def test_a_history_in_which_all_calls_have_results_stays_as_it_is() -> None:
    assert with_answers([HumanMessage("go"), CALL, result("call-book-0"), AIMessage("ok")]) is None
    assert with_answers([]) is None
    assert with_answers(["text", {"role": "user"}]) is None


# Conversations


class Stopped(Exception):
    """The run ends here."""


def agent(*replies: Any, **options: Any) -> tuple[Any, Scripted]:
    """An agent with a tool that never ends by itself, and its model."""

    @tool
    def book() -> str:
        """Book."""
        raise Stopped

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    model = Scripted(replies=list(replies))
    return create_agent(model, [book, look], **options), model


async def stop_in_the_tool(dialog: Dialog, text: str = "book it") -> None:
    with pytest.raises(Stopped):
        await dialog.say(text)
    dialog.thread = dialog.last.thread_id  # a run that is stopped keeps what it has come to


@pytest.mark.parametrize("reply", [CALL, TWO], ids=["one call", "parallel calls"])
async def test_after_a_stop_in_a_tool_the_next_turn_goes_well_and_the_error_is_there_once(
    reply: AIMessage,
) -> None:
    graph, model = agent(reply, "ok", "ok")
    dialog = Dialog(graph)
    await stop_in_the_tool(dialog)
    for text in ("and now?", "still there?"):
        assert (await dialog.answer(text)).text == "ok"
    errors = [item for item in model.asked[-1] if isinstance(item, ToolMessage)]
    assert len(errors) == len(reply.tool_calls)
    assert "cancelled" in str(errors[0].text)


async def test_the_error_is_no_report_and_no_tool_of_the_next_turn() -> None:
    dialog = Dialog(agent(CALL, "ok")[0])
    await stop_in_the_tool(dialog)
    answer = await dialog.answer()
    assert (dialog.stream.tools, answer.tools) == ([], [])


async def test_a_second_attempt_at_the_next_turn_does_not_answer_the_call_again() -> None:
    graph, model = agent(CALL, ConnectionError("the node dies"), "ok")
    dialog = Dialog(graph)
    await stop_in_the_tool(dialog)
    with pytest.raises(ConnectionError):
        await dialog.say("again")
    said = await dialog.say("again", attempt=2, source=dialog.last.thread_id)
    assert said.text == "ok"
    assert kinds(model.asked[-1]) == ["human", "ai", "tool!", "human"]


async def test_an_attempt_that_continues_in_the_middle_of_a_turn_answers_no_call() -> None:
    broken = [True]

    @tool
    def book() -> str:
        """Book."""
        if broken:
            broken.clear()
            raise Stopped
        return "booked"

    model = Scripted(replies=[CALL, "ok"])
    dialog = Dialog(create_agent(model, [book]))
    with pytest.raises(Stopped):
        await dialog.say()
    said = await dialog.say(attempt=2, source=dialog.last.thread_id)
    assert said.text == "ok"
    assert kinds(model.asked[-1]) == ["human", "ai", "tool"]


@pytest.mark.parametrize("how", ["middleware", "in the tool"])
async def test_a_message_instead_of_an_answer_leaves_a_conversation_that_goes_on(how: str) -> None:
    @tool
    def book() -> str:
        """Book."""
        return f"booked: {interrupt('Really?') if how == 'in the tool' else 'yes'}"

    model = Scripted(replies=[CALL, "Then not"])
    asks = [HumanInTheLoopMiddleware({"book": True})] if how == "middleware" else []
    dialog = Dialog(create_agent(model, [book], middleware=asks))
    assert isinstance(await dialog.say(), Questions)
    assert (await dialog.answer("leave it")).text == "Then not"
    assert kinds(model.asked[-1]) == ["human", "ai", "tool!", "human"]


async def test_after_a_wrong_answer_has_failed_the_conversation_goes_on() -> None:
    @tool
    def book() -> str:
        """Book."""
        return "booked"

    model = Scripted(replies=[CALL, "Then not"])
    dialog = Dialog(create_agent(model, [book], middleware=[HumanInTheLoopMiddleware({"book": True})]))
    asked = await dialog.say()
    before = dialog.thread
    with pytest.raises((TypeError, KeyError, ValueError)):
        await dialog.respond(asked, "nonsense")
    dialog.thread = before  # a run that fails does not move the conversation
    assert (await dialog.answer("leave it")).text == "Then not"


async def test_a_turn_is_regenerated_after_a_stopped_one() -> None:
    graph, model = agent(CALL, "ok", "better")
    dialog = Dialog(graph)
    await stop_in_the_tool(dialog)
    before = dialog.thread
    await dialog.answer("now?")
    dialog.thread = before
    assert (await dialog.answer("now?")).text == "better"
    assert kinds(model.asked[-1]) == ["human", "ai", "tool!", "human"]


class Added(TypedDict):
    messages: Annotated[list[AnyMessage], operator.add]


class Validated(BaseModel):
    messages: Annotated[list[AnyMessage], operator.add] = []


@pytest.mark.parametrize("schema", [MessagesState, Added, Validated])
@pytest.mark.parametrize("place", ["last", "in the middle"])
async def test_any_reducer_gets_the_errors_in_the_right_place(schema: Any, place: str) -> None:
    model = Scripted(replies=["ok"])

    async def work(state: Any) -> Any:
        messages = state["messages"] if isinstance(state, dict) else state.messages
        if len(messages) == 1:
            return {"messages": [CALL.model_copy(), *([AIMessage("well")] if place != "last" else [])]}
        return {"messages": [await model.ainvoke(messages)]}

    builder = StateGraph(schema)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    dialog = Dialog(builder)
    await dialog.say() if place != "last" else await asyncio.gather(dialog.say(), return_exceptions=True)
    dialog.thread = dialog.last.thread_id
    assert (await dialog.answer("next")).text == "ok"
    check_tool_calls(model.asked[-1])


async def test_an_agent_with_a_memory_of_its_own_gets_the_errors_too() -> None:
    inner, model = agent(CALL, "ok")
    builder = StateGraph(MessagesState)
    builder.add_node("inner", inner.copy(update={"checkpointer": True}))
    builder.add_edge(START, "inner")
    dialog = Dialog(builder)
    await stop_in_the_tool(dialog)
    assert (await dialog.answer("next")).text == "ok"
    assert kinds(model.asked[-1])[:3] == ["human", "ai", "tool!"]

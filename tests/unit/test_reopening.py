"""Questions that are asked again when the graph could not use the answers: real graphs, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from sio_server.dialog.answers import Questions
from sio_server.dialog.reopening import questions_again
from tests.single_dialog import Dialog


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("acts", [True, False])
async def test_questions_are_not_asked_again_when_one_answer_of_two_has_been_acted_on(
    acts: bool, writes: bool
) -> None:
    acted: list[str] = []

    async def act(state: Any) -> Any:
        value = interrupt("Act?")
        if not acts:
            raise ValueError("cannot act")
        acted.append(value)
        return {"messages": [AIMessage("acted")]} if writes else None

    async def fail(state: Any) -> Any:
        interrupt("Fail?")
        raise ValueError("cannot use it")

    builder = StateGraph(MessagesState)
    for name, node in (("act", act), ("fail", fail)):
        builder.add_node(name, node)
        builder.add_edge(START, name)
    dialog = Dialog(builder)
    asked = await dialog.say()
    assert isinstance(asked, Questions)
    answers = {one.id: "yes" for one in asked.interrupts}
    again = await _tried(dialog, answers, attempts=2)
    assert acted == (["yes"] if acts else [])
    assert {one.id for one in again} == (set() if acts else set(answers))


async def test_what_had_ended_beside_the_question_does_not_keep_it_from_being_asked_again() -> None:
    async def talk(state: Any) -> Any:
        return {"messages": [AIMessage("meanwhile")]}

    async def fail(state: Any) -> Any:
        interrupt("Fail?")
        raise ValueError("cannot use it")

    builder = StateGraph(MessagesState)
    for name, node in (("talk", talk), ("fail", fail)):
        builder.add_node(name, node)
        builder.add_edge(START, name)
    dialog = Dialog(builder)
    asked = await dialog.say()
    again = await _tried(dialog, {asked.interrupts[0].id: "yes"}, attempts=1)
    assert [one.value for one in again] == ["Fail?"]


async def _tried(dialog: Dialog, answers: dict[str, Any], *, attempts: int) -> list[Any]:
    """The questions that a run with these answers asks again when all attempts at it have failed."""
    source = dialog.thread
    for attempt in range(1, attempts + 1):
        run = dialog._run("resume", answers, attempt, source, dialog.thread, "")
        with pytest.raises(ValueError, match="cannot"):
            await dialog.attempt(run)
        source = run.thread_id
    saver: Any = dialog.saver
    return await questions_again(dialog.graph, saver, run)

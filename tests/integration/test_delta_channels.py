"""DeltaChannels: a copy of a thread stands alone, and its state is that of a thread that was never copied."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Overwrite, interrupt

from sio_server.dialog import outcome
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.local.cluster import LocalCluster
from tests.served.copies import Copies, hold_lease
from tests.served.dialogs import ANN

pytest_plugins = ["tests.served.dialog_fixtures"]

TURNS = {"plain": 64, "redis": 24}  # the former beyond the frequency that LangGraph takes where none is given


@pytest.fixture(params=["plain", "redis"], scope="module")
async def store(cluster: LocalCluster, request: pytest.FixtureRequest) -> AsyncIterator[CheckpointStore]:
    made = CheckpointStore(cluster.redis_url, request.param)
    await made.set_up()
    yield made
    await made.close()


@pytest.fixture
async def copies(store, redis, new_id) -> Copies:
    await hold_lease(redis, new_id)
    return Copies(store.saver, new_id, subgraphs=True)


def extend(held: list[Any], writes: Sequence[Any]) -> list[Any]:
    """A reducer for which the order counts."""
    return [*held, *(item for write in writes for item in write)]


def merge(held: list[Any], writes: Sequence[Any]) -> list[Any]:
    for write in writes:
        held = add_messages(held, write)  # type: ignore[assignment]
    return held


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], DeltaChannel(merge)]
    notes: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=11)]
    seldom: Annotated[list[int], DeltaChannel(extend, snapshot_frequency=3)]
    turn: int


def answer(state: State) -> State:
    turn = state.get("turn", 0) + 1
    update: Any = {"messages": [AIMessage(f"answer {turn}", id=f"a{turn}")], "turn": turn, "notes": [f"n{turn}"]}
    if turn % 10 == 0:
        update["seldom"] = [turn]
    if turn == 20:
        update["notes"] = Overwrite([f"only {turn}"])
    return update


def talker() -> StateGraph[Any]:
    builder = StateGraph(State)
    builder.add_node("left", lambda state: {"notes": [f"left {len(state['messages'])}"]})
    builder.add_node("right", lambda state: {"notes": [f"right {len(state['messages'])}"]})
    builder.add_node("answer", answer)
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge(["left", "right"], "answer")
    return builder


def said(turn: int) -> Any:
    return {"messages": [HumanMessage(f"question {turn}", id=f"q{turn}")]}


async def state_of(graph: Any, config: Any) -> dict[str, Any]:
    return dict((await graph.aget_state(config)).values)


async def test_a_dialog_of_many_turns_each_in_a_thread_of_its_own_is_that_of_one_thread(copies, request):
    turns = TURNS[request.node.callspec.params["store"]]
    graph, same = (talker().compile(checkpointer=saver) for saver in (copies.saver, InMemorySaver()))
    config: Any = {"configurable": {"thread_id": "memory"}}
    kept = turns - 7
    for turn in range(1, turns + 1):
        await same.ainvoke(said(turn), config, durability="sync")
        await copies.begin()
        await graph.ainvoke(said(turn), copies.config, durability="sync")
        if copies.number - 2 != kept:
            await copies.saver.adelete_thread(copies.thread_id(copies.number - 1))
    state = await state_of(same, config)
    assert len(state["messages"]) == 2 * turns
    assert await state_of(graph, copies.config) == state

    # A turn again, from the thread that it began from.
    await copies.begin(kept + 1)
    await graph.ainvoke(said(1000), copies.config, durability="sync")
    ends = [item async for item in same.aget_state_history(config) if not item.next]
    earlier = next(item for item in ends if item.values["turn"] == kept)
    forked = await same.ainvoke(said(1000), earlier.config, durability="sync")
    assert len(forked["messages"]) == 2 * kept + 2
    assert await state_of(graph, copies.config) == forked


async def test_what_is_copied_of_a_dialog_is_two_checkpoints_however_long_it_is(copies):
    graph = talker().compile(checkpointer=copies.saver)
    for turn in range(1, 6):
        await copies.begin()
        await graph.ainvoke(said(turn), copies.config, durability="sync")
    await copies.begin()
    found = [item async for item in copies.saver.alist(copies.config)]
    assert len(found) == 2
    assert "seed" not in (await copies.saver.aget_delta_channel_history(config=found[0].config, channels=["turn"]))


class Torn:
    """Two nodes of one step: the first in LangGraph's order fails once, when the second has written."""

    def __init__(self) -> None:
        self.failed = False
        builder = StateGraph(State)
        builder.add_node("a", self._a)
        builder.add_node("b", lambda _: {"notes": ["b"], "seldom": [1, 2]})
        builder.add_node("last", lambda state: {"notes": [f"after {state['notes'][-2:]}"]})
        builder.add_edge(START, "a")
        builder.add_edge(START, "b")
        builder.add_edge(["a", "b"], "last")
        builder.add_conditional_edges("last", lambda state: END)
        self.builder = builder

    def _a(self, state: State) -> State:
        if not self.failed:
            self.failed = True
            raise LookupError("once")
        return {"notes": ["a"], "seldom": [0]}


async def test_a_takeover_in_the_middle_of_a_step_keeps_the_order_of_what_its_nodes_wrote(copies):
    states = []
    for saver in (copies.saver, InMemorySaver()):
        graph = Torn().builder.compile(checkpointer=saver)
        memory: Any = {"configurable": {"thread_id": "memory"}}
        config = memory if isinstance(saver, InMemorySaver) else copies.config
        with pytest.raises(LookupError):
            await graph.ainvoke({"notes": ["in"]}, config, durability="sync")
        if saver is copies.saver:
            await copies.take_over()
            config = copies.config
        await graph.ainvoke(None, config, durability="sync")
        if saver is copies.saver:
            await copies.take_over()
            config = copies.config
        states.append(await state_of(graph, config))
    assert states[0] == states[1]
    assert states[0]["notes"] == ["in", "a", "b", "after ['a', 'b']"]
    assert states[0]["seldom"] == [0, 1, 2]


def asking() -> StateGraph[Any]:
    """A subgraph, with differences of its own, that asks after some steps."""

    def ask(state: State) -> State:
        return {"notes": [f"{interrupt('well?')} {len(state['notes'])}"]}

    builder = StateGraph(State)
    builder.add_node("one", lambda _: {"notes": ["one"]})
    builder.add_node("two", lambda _: {"notes": ["two"]})
    builder.add_node("ask", ask)
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    builder.add_edge("two", "ask")
    return builder


@pytest.mark.parametrize("found", [True, False], ids=["as a node", "called by a node"])
async def test_a_subgraph_that_asks_continues_after_a_takeover_with_all_its_notes(copies, found):
    inner = asking().compile()

    async def call(state: State) -> State:
        return {"notes": (await inner.ainvoke({"notes": ["called"]}))["notes"]}

    builder = StateGraph(State)
    builder.add_node("inner", inner if found else call)
    builder.add_edge(START, "inner")
    graph = builder.compile(checkpointer=copies.saver)
    asked = await graph.ainvoke({"notes": ["in"]}, copies.config, durability="sync")
    await copies.take_over()
    await copies.take_over()
    answers = {asked["__interrupt__"][0].id: "yes"}
    await graph.ainvoke(Command(resume=answers), copies.config, durability="sync")
    given = "in" if found else "called"
    assert (await state_of(graph, copies.config))["notes"] == ["in", given, "one", "two", "yes 3"]


async def test_messages_in_a_delta_channel_are_answered_again_and_taken_over_like_others(dialogs, monkeypatch):
    monkeypatch.setattr(outcome, "BACK_OFF_S", 0.0)
    failures = iter([False, True, False, False])

    async def work(state: State) -> Any:
        if next(failures):
            raise LookupError("once")
        heard = [item.text for item in state["messages"]]
        return {"messages": [AIMessage(" ".join(heard))]}

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    await dialogs.serve(builder)
    place = await dialogs.conversation()
    assert (await dialogs.ended_with(place, await dialogs.send(place, "one"))).text == "one"
    answer = await dialogs.ended_with(place, await dialogs.send(place, "two"))
    assert (answer.text, answer.data["attempt"]) == ("one one two", 2)
    await dialogs.turns.regenerate(place, ANN, answer.seq, run_id="again")
    assert (await dialogs.ended_with(place, "again")).text == "one one two"

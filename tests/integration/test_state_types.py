"""State comes back as it was: of each type, from each saver, through all the ways in which state is kept."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from sio_server.dialog.savers.serializer import StateSerializer
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.local.cluster import LocalCluster
from tests.graphs import typed
from tests.served.copies import Copies, hold_lease

WAYS = ("written", "asked", "resumed with", "held", "answered")


@pytest.fixture(params=["plain", "redis"], scope="module")
async def store(cluster: LocalCluster, request: pytest.FixtureRequest) -> AsyncIterator[CheckpointStore]:
    made = CheckpointStore(cluster.redis_url, request.param)
    await made.set_up()
    yield made
    await made.close()


def described(value: Any) -> Any:
    """The value with all types in it, so that two are equal only when they are the same, NaN included."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    match value:
        case dict():
            return kind, [(described(key), described(item)) for key, item in value.items()]
        case set() | frozenset():
            return kind, sorted(map(repr, map(described, value)))
        case deque():
            return kind, value.maxlen, [described(item) for item in value]
        case list() | tuple():
            return kind, [described(item) for item in value]
        case BaseModel():
            return kind, described(dict(value))
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return kind, [(f.name, described(getattr(value, f.name))) for f in dataclasses.fields(value)]
        case _ if hasattr(value, "dtype"):
            return kind, str(value.dtype), value.shape, value.flags.f_contiguous, value.tolist()
        case _ if hasattr(value, "get_secret_value"):
            return kind, value.get_secret_value()
    return kind, repr(value)


async def pending(copies: Copies) -> dict[str, Any]:
    found = await copies.saver.aget_tuple(copies.config)
    return {channel: value for _, channel, value in found.pending_writes}


async def _nothing() -> None:
    """Memory is of one process: nothing takes over."""


async def ways(saver: Any, conversation_id: str, name: str) -> dict[str, Any]:
    """What comes back of a value in each way."""
    copies = Copies(saver, conversation_id)
    take_over = _nothing if isinstance(saver, InMemorySaver) else copies.take_over
    graph = typed.builder().compile(checkpointer=saver)
    await graph.ainvoke({"name": name}, copies.config, durability="sync")
    await take_over()
    found = await pending(copies)
    back = {"written": found["held"], "asked": found["__interrupt__"][0].value}
    answer = {found["__interrupt__"][0].id: typed.VALUES[name]()}
    with pytest.raises(LookupError):
        await graph.ainvoke(Command(resume=answer), copies.config, durability="sync")
    await take_over()
    back["resumed with"] = (await pending(copies))["__resume__"]
    await graph.ainvoke(None, copies.config, durability="sync")
    await take_over()
    values = (await graph.aget_state(copies.config)).values
    return back | {"held": values.get("held"), "answered": values.get("answered")}


async def what_happens(saver: Any, conversation_id: str, name: str) -> Any:
    """All that comes back, described; or the refusal."""
    try:
        found = await ways(saver, conversation_id, name)
    except Exception as exc:
        return type(exc).__name__, str(exc)
    return {way: described(value) for way, value in found.items()}


@pytest.mark.parametrize("name", typed.VALUES)
async def test_state_comes_back_as_from_memory(store, redis, new_id, name):
    await hold_lease(redis, new_id)
    there = await what_happens(store.saver, new_id, name)
    assert there == await what_happens(InMemorySaver(), "c", name)
    if name in typed.REFUSED:
        assert isinstance(there, tuple), there
        return
    once = described(typed.VALUES[name]())
    assert set(there) == set(WAYS)
    resumed = ("builtins.list", [once])
    changed = [way for way, value in there.items() if value != (resumed if way == "resumed with" else once)]
    assert bool(changed) == (name in typed.CHANGED), changed


async def test_types_of_a_graphs_own_come_back_without_a_warning(caplog):
    serializer = StateSerializer()
    with caplog.at_level(logging.WARNING):
        for name, make in typed.EXACT.items():
            assert described(serializer.loads_typed(serializer.dumps_typed(make()))) == described(make()), name
    assert caplog.messages == []


# What bytes in Redis may make, though only nodes write them


def constructor(code: int, *parts: Any) -> tuple[str, bytes]:
    """Bytes that name a callable, as LangGraph writes objects."""
    return "msgpack", ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(parts)))


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        (0, ("os", "system", "exit 3")),
        (1, ("subprocess", "Popen", ["false"])),
        (1, ("builtins", "exec", ["raise SystemExit"])),
        (2, ("subprocess", "check_call", {"args": ["false"]})),
        (3, ("os", "path", "x", "exists")),
        (5, ("tests.graphs.typed", "Opaque", {}, "x")),
    ],
)
def test_reading_state_calls_nothing_but_classes_that_hold_data(code, parts):
    assert StateSerializer().loads_typed(constructor(code, *parts)) == parts[2]


@pytest.mark.parametrize("kind", ["pickle", "json", "anything"])
def test_reading_state_never_unpickles_and_knows_no_json(kind):
    with pytest.raises(ValueError, match="never written"):
        StateSerializer().loads_typed((kind, b'{"lc": 2, "type": "constructor", "id": ["os", "getcwd"]}'))


EVIL: list[Any] = [
    {"lc": 2, "type": "constructor", "id": ["tests", "graphs", "typed", "Opaque"], "kwargs": {}},
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain_core", "messages", "AIMessage"],
        "kwargs": {"content": "x"},
    },
    {"__interrupt__": True, "value": 1, "id": "x"},
    {"__send__": True, "node": "a", "arg": 1},
    {"__delta_snapshot__": True, "value": 1},
    {"__bytes__": "AAAA"},
    {"type": "msgpack", "data": constructor(0, "os", "system", "exit 3")[1].hex()},
]


@pytest.mark.parametrize("evil", EVIL, ids=lambda evil: next(iter(evil)))
async def test_what_a_client_sends_stays_what_it_is_whatever_it_is_shaped_like(store, redis, new_id, evil):
    await hold_lease(redis, new_id)
    copies = Copies(store.saver, new_id)

    def ask(state: typed.State) -> typed.State:
        return {"answered": [interrupt("well?"), get_runtime().context]}

    anything: Any = dict
    builder = StateGraph(typed.State, context_schema=anything)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    graph = builder.compile(checkpointer=store.saver)
    text: Any = {"held": [HumanMessage(json.dumps(evil)), evil]}
    await graph.ainvoke(text, copies.config, durability="sync", context=evil)
    await copies.take_over()
    (asked,) = (await graph.aget_state(copies.config)).interrupts
    await graph.ainvoke(Command(resume={asked.id: evil}), copies.config, durability="sync", context=evil)
    await copies.take_over()
    values = (await graph.aget_state(copies.config)).values
    assert values["answered"] == [evil, evil]
    assert values["held"][1] == evil
    assert json.loads(values["held"][0].content) == evil

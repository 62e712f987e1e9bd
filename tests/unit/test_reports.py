"""Whatever a graph reports becomes plain JSON of a bounded size, and never fails the run."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from sio_server.dialog.reports import (
    MAX_REPORT_CHARS,
    MAX_TOOLS,
    bounded_json,
    plain_json,
    tool_calls,
    tool_outcome,
)
from sio_server.store.json_text import to_json


def sent(value: Any) -> Any:
    """What comes out at a device: JSON that any parser reads, of valid Unicode."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(to_json(value).encode(), parse_constant=refuse)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_plain_json_stays_as_it_is(value: Any) -> None:
    assert plain_json(value) == value


@given(JSON)
def test_a_report_is_whole_or_the_beginning_of_its_json(value: Any) -> None:
    shown = sent(bounded_json(value))
    whole = to_json(value)
    if len(whole) <= MAX_REPORT_CHARS:
        assert shown == value
    else:
        assert shown == {"truncated": whole[:MAX_REPORT_CHARS]}


def test_a_report_at_the_limit_is_whole_and_one_beyond_is_cut() -> None:
    fits = "x" * (MAX_REPORT_CHARS - 2)
    assert bounded_json(fits) == fits
    assert bounded_json(fits + "x") == {"truncated": '"' + "x" * (MAX_REPORT_CHARS - 1)}


class Colour(enum.Enum):
    RED = "red"


class Model(BaseModel):
    number: float
    when: datetime.date = datetime.date(2030, 1, 2)


@dataclasses.dataclass
class Point:
    x: int
    inner: Any = None


class Plain:
    def __str__(self) -> str:
        return "plain"


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


def counted() -> Iterator[int]:
    yield from range(3)


def around() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["again"] = [circle]
    return circle


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        ({3}, [3]),
        ({1: "a", (2, 3): "b", None: "c"}, {"1": "a", "(2, 3)": "b", "None": "c"}),
        (Colour.RED, "red"),
        (Model(number=1.5), {"number": 1.5, "when": "2030-01-02"}),
        (Point(1, Point(2)), {"x": 1, "inner": {"x": 2, "inner": None}}),
        (datetime.datetime(2030, 1, 2, 3, 4, tzinfo=datetime.UTC), "2030-01-02T03:04:00Z"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (decimal.Decimal("1.50"), "1.50"),
        (float("nan"), None),
        (float("inf"), None),
        (b"bytes", "bytes"),
        (Plain(), "plain"),
        (ValueError("wrong"), "wrong"),
        (int, "<class 'int'>"),
        (HumanMessage("hello"), {"role": "human", "text": "hello"}),
        ({"messages": [AIMessage("hi")]}, {"messages": [{"role": "ai", "text": "hi"}]}),
        (AIMessage([{"type": "text", "text": "part"}]), {"role": "ai", "text": "part"}),
        (counted(), [0, 1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_are_reported_by_their_fields_or_their_text(value: Any, expected: Any) -> None:
    assert sent(bounded_json(value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(threading.Lock(), id="lock"),
        pytest.param(lambda: None, id="function"),
        pytest.param(range(3), id="range"),
        pytest.param(1j, id="complex"),
        pytest.param(b"\xff\xfe\x00", id="bytes that are no text"),
        pytest.param({"image": bytearray(b"\x89PNG\xff")}, id="bytes inside"),
        pytest.param(Point(1, b"\xff"), id="bytes in a dataclass"),
        pytest.param("half \ud83d", id="half a surrogate pair"),
        pytest.param({"\ud83d": 1}, id="half a surrogate pair as a key"),
        pytest.param(Unprintable(), id="unprintable"),
        pytest.param({Unprintable(): 1}, id="unprintable key"),
        pytest.param(Model(number=float("nan")), id="nan in a model"),
        pytest.param(Point(1, float("inf")), id="infinity in a dataclass"),
        pytest.param(10**5000, id="number without end"),
        pytest.param(around(), id="circle"),
        pytest.param(deep(), id="deep"),
    ],
)
def test_no_object_fails_the_run_that_reports_it(value: Any) -> None:
    shown = bounded_json(value)
    sent(shown)
    assert len(to_json(shown)) <= 2 * MAX_REPORT_CHARS + 100


def test_tool_calls_are_reported_with_their_results() -> None:
    calls = [
        {"id": "1", "name": "find", "args": {"where": "here"}},
        {"id": "2", "name": "lose", "args": {}},
        {"id": "3", "name": "wait", "args": {}},
    ]
    messages = [
        HumanMessage("do"),
        AIMessage("", tool_calls=calls),
        ToolMessage("lost", tool_call_id="2", status="error"),
        ToolMessage("found", tool_call_id="1"),
        AIMessage("done"),
    ]
    assert tool_calls(messages) == [
        {"id": "1", "name": "find", "args": {"where": "here"}, "status": "done", "result": "found"},
        {"id": "2", "name": "lose", "args": {}, "status": "failed", "result": "lost"},
        {"id": "3", "name": "wait", "args": {}, "status": "called"},
    ]


def test_arguments_and_results_of_tools_are_bounded() -> None:
    calls = [{"id": "1", "name": "find", "args": {"much": "x" * 10_000}}]
    (tool,) = tool_calls([AIMessage("", tool_calls=calls), ToolMessage("y" * 10_000, tool_call_id="1")])
    assert len(to_json(tool)) < 2 * MAX_REPORT_CHARS + 200
    assert tool["args"]["truncated"].startswith('{"much":"xxx')
    assert tool["result"]["truncated"].startswith('"yyy')


def test_the_last_of_very_many_tool_calls_are_reported() -> None:
    messages: list[BaseMessage] = [
        AIMessage("", tool_calls=[{"id": str(n), "name": "t", "args": {}}]) for n in range(MAX_TOOLS + 5)
    ]
    assert [tool["id"] for tool in tool_calls(messages)] == [str(n) for n in range(5, MAX_TOOLS + 5)]


def test_messages_without_tools_report_no_tool_calls() -> None:
    assert tool_calls([HumanMessage("a"), AIMessage("b"), AIMessageChunk(content="c")]) == []
    assert tool_calls([]) == []


def test_a_result_in_parts_is_reported_by_its_text() -> None:
    message = ToolMessage([{"type": "text", "text": "found"}], tool_call_id="1")
    assert tool_outcome(message) == {"status": "done", "result": "found"}

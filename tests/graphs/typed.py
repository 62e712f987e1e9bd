"""Values of many types for a graph's state, and a graph that keeps one of them in each way there is."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Interrupt, Send, interrupt
from pydantic import BaseModel, SecretStr

try:
    import numpy
except ImportError:  # it comes with some packages, and is no dependency
    numpy = None  # type: ignore[assignment]


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    YES = "yes"


class Level(enum.IntEnum):
    HIGH = 3


class Flags(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Point:
    x: int
    label: Word = Word.YES
    inner: Point | None = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    when: datetime


@dataclasses.dataclass(slots=True)
class Slotted:
    tags: set[str]


class Pair(NamedTuple):
    left: int
    right: Decimal


class Room(BaseModel):
    name: str
    seats: int = 0


class Booking(BaseModel):
    model_config = {"arbitrary_types_allowed": True}

    id: UUID
    room: Room
    colour: Colour
    start: datetime
    length: timedelta
    price: Decimal
    folder: Path
    point: Point
    extra: dict[int, float]
    password: SecretStr


@attrs.define
class Attributes:
    name: str


class Opaque:
    """An object that no serializer of LangGraph's knows."""


NOON = datetime(2026, 3, 1, 12, 0, 0, 123456)
SOME_ID = UUID("12345678-1234-5678-1234-567812345678")
BLOCKS: list[Any] = [
    {"type": "reasoning", "reasoning": "hm"},
    {"type": "text", "text": "hello", "annotations": [{"type": "citation", "url": "https://example.org"}]},
    {"type": "image", "base64": "iVBORw0K", "mime_type": "image/png"},
]

# Those that come back as they were.
EXACT: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "text": lambda: "ä 你好 \0 \N{GRINNING FACE}",
    "large integer": lambda: 2**63,
    "negative integer": lambda: -(2**62),
    "not a number": lambda: float("nan"),
    "infinity": lambda: [float("inf"), float("-inf"), -0.0],
    "bytes": lambda: b"\x00\xff",
    "bytes inside": lambda: {"raw": [b"\x00\xff"]},
    "keys that are integers": lambda: {1: "a", -2: {3: None}},
    "keys of other types": lambda: {True: 1, None: 2, 1.5: 3, SOME_ID.hex: 4},
    "keys that are tuples": lambda: {(1, 2): "a"},
    "set": lambda: {1, "a", SOME_ID},
    "frozenset": lambda: frozenset({1, 2}),
    "deque": lambda: deque([1, {2}]),
    "enum": lambda: [Colour.RED, Word.YES, Level.HIGH, Flags.A],
    "uuid": lambda: SOME_ID,
    "naive datetime": lambda: NOON,
    "datetime with offset": lambda: NOON.replace(tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    "datetime in UTC": lambda: NOON.replace(tzinfo=UTC),
    "date": lambda: date(2026, 3, 1),
    "time": lambda: [time(1, 2, 3, 4), time(1, 2, tzinfo=UTC)],
    "time zone": lambda: [ZoneInfo("Europe/Berlin"), UTC],
    "timedelta": lambda: timedelta(days=-1, seconds=5, microseconds=7),
    "decimal": lambda: [Decimal("1.10"), Decimal("NaN"), Decimal("-Infinity")],
    "path": lambda: [Path("/tmp/x"), Path("a/b")],
    "pattern": lambda: re.compile("a+", re.IGNORECASE),
    "address": lambda: [IPv4Address("10.0.0.1"), IPv6Network("fd00::/8")],
    "dataclass": lambda: Point(1, inner=Point(2)),
    "frozen dataclass": lambda: Frozen(NOON),
    "dataclass with slots": lambda: Slotted({"a"}),
    "named tuple": lambda: Pair(1, Decimal("2.0")),
    "pydantic model": lambda: Booking(
        id=SOME_ID,
        room=Room(name="Blue", seats=6),
        colour=Colour.RED,
        start=NOON.replace(tzinfo=UTC),
        length=timedelta(hours=2),
        price=Decimal("12.50"),
        folder=Path("/srv"),
        point=Point(3),
        extra={1: float("inf")},
        password=SecretStr("hush"),
    ),
    "models in a dictionary": lambda: {"rooms": [Room(name="a"), {"best": Room(name="b")}]},
    "messages": lambda: [
        SystemMessage("be kind"),
        HumanMessage(BLOCKS, id="m1", name="Ann"),
        AIMessage(
            BLOCKS,
            tool_calls=[{"name": "book", "args": {"n": 1}, "id": "c1", "type": "tool_call"}],
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            response_metadata={"model": "m"},
        ),
        AIMessageChunk(content="a part"),
        ToolMessage("done", tool_call_id="c1", artifact={"raw": b"\x00", "id": SOME_ID}, status="error"),
    ],
    "document": lambda: Document("text", metadata={"page": 1}, id="d1"),
    "command": lambda: Command(update={"held": Point(1)}, goto="wait"),
    "send": lambda: Send("keep", {"name": Word.YES}),
    "interrupt": lambda: Interrupt(value={"ask": [Point(1)]}, id="i1"),
    "shaped like a constructor": lambda: {
        "lc": 2,
        "type": "constructor",
        "id": ["tests", "graphs", "typed", "Opaque"],
        "kwargs": {},
    },
    "shaped like an interrupt": lambda: {"__interrupt__": True, "value": 1, "id": "x"},
    "shaped like bytes": lambda: {"__bytes__": "AAAA"},
}
if numpy is not None:
    EXACT["array"] = lambda: numpy.arange(6, dtype="float32").reshape(2, 3)
    EXACT["arrays inside"] = lambda: {"vectors": [numpy.array([1, 2]), numpy.asfortranarray(numpy.eye(2))]}

# Those of which LangGraph's serializer makes something else, in memory as well.
CHANGED: dict[str, Callable[[], Any]] = {
    "tuple": lambda: (1, (2,)),
    "bytearray": lambda: bytearray(b"\x00\xff"),  # inside of something
    "dictionary of another class": lambda: OrderedDict(a=1),
    "text of another class": lambda: type("Text", (str,), {})("a"),
    "bounded deque": lambda: deque([1], maxlen=3),
    "datetime in a region": lambda: NOON.replace(tzinfo=ZoneInfo("Europe/Berlin")),
    "exception": lambda: ValueError("no"),
    "model in a field of any type": lambda: ToolMessage("", tool_call_id="c", artifact=Point(1)),
    "local class": lambda: dataclasses.make_dataclass("Local", ["a"])(1),
    "half a character": lambda: "\ud800",
}

# Those which LangGraph's serializer refuses.
REFUSED: dict[str, Callable[[], Any]] = {
    "attrs": lambda: Attributes("a"),
    "complex number": lambda: 1j,
    "integer of more than 64 bits": lambda: 2**70,
    "range": lambda: range(3),
    "class": lambda: Opaque,
    "object": Opaque,
    "function": lambda: len,
    "pure path": lambda: PurePosixPath("a/b"),
}
if numpy is not None:
    REFUSED["numpy numbers"] = lambda: [numpy.float64(1.5), numpy.int32(1)]

VALUES = {**EXACT, **CHANGED, **REFUSED}


class State(TypedDict, total=False):
    name: str
    held: Any
    answered: Any


def keep(state: State) -> State:
    """Keep the value, while the other node of the same step asks."""
    return {"held": VALUES[state["name"]]()}


class Waiting:
    """A node that asks with the value, and fails once when it has been answered."""

    def __init__(self) -> None:
        self.failed = False

    def __call__(self, state: State) -> State:
        answer = interrupt(VALUES[state["name"]]())
        if not self.failed:
            self.failed = True
            raise LookupError("once")
        return {"answered": answer}


def builder() -> StateGraph[Any]:
    """The graph."""
    made = StateGraph(State)
    made.add_node("keep", keep)
    made.add_node("wait", Waiting())
    made.add_edge(START, "keep")
    made.add_edge(START, "wait")
    return made

"""Whatever is published on the bus, a node acts on messages of the known form only; and how deep a frame is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.gateway.fanout.bus_messages import (
    DevicesChanged,
    NewEpoch,
    RoomEvent,
    SessionsEnded,
    parse_bus_message,
)
from sio_server.gateway.fanout.numbered import EntryHead, StreamEvent
from sio_server.gateway.transport.frames import MAX_DEPTH, is_too_deep

CONVERSATION, USER = "conversation:plans", "user:ann"
ENTRY = '42["entry:appended",{"n":5,"conversation_id":"plans","data":{"text":"größer"}}]'
WRITTEN = '42["run:written",{"conversation_id":"plans","n":6}]'
TYPING = '42["typing:changed",{"conversation_id":"plans"}]'
DRAFT = '42["draft:changed",{"conversation_id":"plans"}]'
DEVICES = '42["devices:changed",{"devices":[{"device_id":"d","device_name":"Phone"}]}]'
ENDED = '{"reason":"signed_out","by":null}'


def parse(room: str, head: str, frame: str = "") -> Any:
    return parse_bus_message(room, f"{head}\n{frame}".encode())


def test_a_message_of_ours_is_read_from_its_head_and_its_frame_is_passed_on_as_it_is() -> None:
    head = EntryHead("e", 3, "t", "message", "-")
    assert parse(CONVERSATION, "E 5 e 3 t message -", ENTRY) == StreamEvent(5, ENTRY.encode(), head)
    left = parse(CONVERSATION, "E 5 e 3 t member_left bob", ENTRY)
    assert left.entry.about == "bob"
    assert parse(CONVERSATION, "N 6", WRITTEN) == StreamEvent(6, WRITTEN.encode(), None)
    assert parse(CONVERSATION, "N 6", WRITTEN.replace("written", "changed")).n == 6
    assert parse(CONVERSATION, "X", TYPING) == RoomEvent(TYPING.encode())
    assert parse(USER, "X", DRAFT) == RoomEvent(DRAFT.encode())
    assert parse(CONVERSATION, "R f") == NewEpoch("f")
    devices = [{"device_id": "d", "device_name": "Phone"}]
    assert parse(USER, "D", DEVICES) == DevicesChanged(DEVICES.encode(), devices)
    assert parse(USER, "S a b", ENDED) == SessionsEnded(["a", "b"], {"reason": "signed_out", "by": None})


@pytest.mark.parametrize(
    ("room", "head", "frame"),
    [
        (CONVERSATION, "", ""),
        (CONVERSATION, "E 5 e 3 t message", ENTRY),
        (CONVERSATION, "E 5 e 3 t message - -", ENTRY),
        (CONVERSATION, "E 5  3 t message - -", ENTRY),
        (CONVERSATION, "E 0 e 3 t message -", ENTRY),
        (CONVERSATION, "E -5 e 3 t message -", ENTRY),
        (CONVERSATION, "E 5 e 0 t message -", ENTRY),
        (CONVERSATION, "E 5 e 3_0 t message -", ENTRY),
        (CONVERSATION, "E 5 e 1e9 t message -", ENTRY),
        (CONVERSATION, f"E {'9' * 16} e 3 t message -", ENTRY),
        (CONVERSATION, f"N {'9' * 60_000}", WRITTEN),
        (CONVERSATION, f"N {'9' * 70_000}", WRITTEN),
        (CONVERSATION, "E 5 e 3 t member_left -", ENTRY),
        (CONVERSATION, "E 5 é 3 t message -", ENTRY),
        (CONVERSATION, "E 5 e 3 t message -", WRITTEN),
        (CONVERSATION, "E 5 e 3 t message -", ENTRY[:-1]),
        (CONVERSATION, "E 5 e 3 t message -", ENTRY[2:]),
        (CONVERSATION, "E 5 e 3 t message -", "451-" + ENTRY[2:]),
        (CONVERSATION, "E 5 e 3 t message -", "42/other," + ENTRY[2:]),
        (CONVERSATION, "E 5 e 3 t message -", '42["entry:appended",[]]'),
        (CONVERSATION, "E 5 e 3 t message -", ""),
        (CONVERSATION, "N 6", ENTRY),
        (CONVERSATION, "N", WRITTEN),
        (CONVERSATION, "X", WRITTEN),
        (CONVERSATION, "X", ENTRY),
        (CONVERSATION, "X", DRAFT),
        (CONVERSATION, "X 1", TYPING),
        (CONVERSATION, "X", '42["session:opened",{"user_id":"mallory"}]'),
        (CONVERSATION, "X", '42["conversation:synced",{"conversation_id":"plans"}]'),
        (CONVERSATION, "X", '42["session:ended",{"reason":"signed_out"}]'),
        (CONVERSATION, "R", ""),
        (CONVERSATION, "R f g", ""),
        (CONVERSATION, "D", DEVICES),
        (CONVERSATION, "S a", ENDED),
        (CONVERSATION, "x", TYPING),
        (CONVERSATION, "EX", ENTRY),
        (USER, "E 5 e 3 t message -", ENTRY),
        (USER, "N 6", WRITTEN),
        (USER, "R f", ""),
        (USER, "X", TYPING),
        (USER, "D", DRAFT),
        (USER, "D", DEVICES.replace('"Phone"', "7")),
        (USER, "D", '42["devices:changed",{"devices":[7]}]'),
        (USER, "D", '42["devices:changed",{"devices":' + "[" * 100_000 + "}]"),
        (USER, "S", ENDED),
        (USER, "S a", "[]"),
        (USER, "S a", "{}"),
        (USER, "S a", '{"reason":7}'),
        (USER, "S a", "[" * 100_000),
    ],
)
def test_a_bus_message_that_is_none_of_ours_is_dropped(room: str, head: str, frame: str) -> None:
    assert parse(room, head, frame) is None


@pytest.mark.parametrize("room", [CONVERSATION, USER])
def test_bytes_that_are_no_text_are_dropped(room: str) -> None:
    for message in (
        b"\x80\x04\x95",
        b"\xff\n" + TYPING.encode(),
        b'X\n42["typing:changed",{"a":"\xff"}]',
        b'X\n42["draft:changed",{"a":"\xff"}]',
        b"",
    ):
        assert parse_bus_message(room, message) is None


_heads = st.text(st.sampled_from("ENXDRS 0123456789-abé\n"), max_size=30)
_frames = st.sampled_from([ENTRY, WRITTEN, TYPING, DRAFT, DEVICES, ENDED, "", "42[", "}]", "é"])


@given(st.sampled_from([CONVERSATION, USER]), _heads, st.lists(_frames, max_size=3).map("".join), st.binary())
def test_no_bus_message_whatsoever_raises(room: str, head: str, frame: str, garbage: bytes) -> None:
    parse(room, head, frame)
    parse_bus_message(room, garbage)
    parse_bus_message(room, head.encode() + b"\n" + garbage)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=6),
    max_leaves=12,
)


@given(_json)
def test_depth_is_counted_without_reading_the_json(value: Any) -> None:
    def depth(part: Any) -> int:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    for _ in range(MAX_DEPTH + 2):
        assert is_too_deep(json.dumps(value)) == (depth(value) > MAX_DEPTH)
        value = [value, ']]{{\\"[[']


def test_brackets_in_a_text_are_no_depth_and_a_torn_text_is_no_matter() -> None:
    assert not is_too_deep('42["message:send",{"text":"' + "[{" * 1000 + '"}]')
    assert not is_too_deep('42["message:send",{"text":"' + "[{" * 1000)
    assert is_too_deep("42" + "[" * 60_000)
    assert is_too_deep('42["x",' + '{"a":' * MAX_DEPTH)

"""Whatever is published on the bus, a node acts on events of the known form only; and how deep a frame is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.gateway.fanout.bus_messages import parse_bus_message
from sio_server.gateway.transport.frames import MAX_DEPTH, is_too_deep

ENTRY = {
    "v": 2,
    "conversation_id": "plans",
    "n": 5,
    "epoch": "e",
    "seq": 3,
    "type": "message",
    "ts": "t",
    "data": {},
}

RUN = {"conversation_id": "plans", "n": 6}


def message(event: str, payload: Any, room: Any, **more: Any) -> str:
    return json.dumps({"method": "emit", "event": event, "data": [payload], "room": room, **more})


def test_a_message_with_an_event_of_ours_is_parsed() -> None:
    event = parse_bus_message(message("entry:appended", ENTRY, "conversation:plans"))
    assert event == ("entry:appended", ENTRY, "conversation:plans")
    for name in ("run:changed", "run:written"):
        assert parse_bus_message(message(name, RUN, "conversation:plans"))
    assert parse_bus_message(message("presence:changed", {}, ["conversation:a", "conversation:b"]))
    assert parse_bus_message(
        message("conversation:reset", {"conversation_id": "plans", "epoch": "f"}, "conversation:plans")
    )
    assert parse_bus_message(message("session:ended", {"reason": "signed_out"}, ["sid"]))


@pytest.mark.parametrize(
    "forged",
    [
        b"\x80\x04\x95",  # a pickle
        "[" * 100_000,
        '{"method":"emit","event":' + "[" * 100_000,
        "",
        "null",
        "[]",
        "1e999",
        json.dumps({"method": "disconnect", "sid": "x", "namespace": "/"}),
        json.dumps({"method": "close_room", "room": "conversation:plans"}),
        json.dumps({"method": "callback", "host_id": "h", "sid": "x", "namespace": "/", "id": 1, "args": []}),
        message("entry:appended", ENTRY, "conversation:plans", method="enter_room"),
        message("entry:appended", ENTRY, "conversation:other"),
        message("entry:appended", ENTRY, ["conversation:plans", "conversation:other"]),
        message("entry:appended", ENTRY, None),
        message("conversation:reset", {"conversation_id": "plans"}, "conversation:plans"),
        message("conversation:reset", {"conversation_id": "plans", "epoch": "f"}, "conversation:other"),
        message("entry:appended", {**ENTRY, "n": "5"}, "conversation:plans"),
        message("entry:appended", {**ENTRY, "seq": True}, "conversation:plans"),
        message("entry:appended", {**ENTRY, "seq": 0}, "conversation:plans"),
        message("entry:appended", {**ENTRY, "seq": "4"}, "conversation:plans"),
        message("entry:appended", {**ENTRY, "epoch": None}, "conversation:plans"),
        message("entry:appended", {**ENTRY, "type": "member_left"}, "conversation:plans"),
        message("session:opened", {}, "user:ann"),
        message("conversation:synced", {"conversation_id": "plans"}, "conversation:plans"),
        message("run:written", RUN, None),
        message("run:written", RUN, []),
        message("run:written", RUN, {"a": 1}),
        message("run:written", RUN, [["conversation:plans"]]),
        message("run:written", RUN, ["conversation:plans"]),
        message("run:written", RUN, "conversation:other"),
        message("run:written", RUN, "sid-of-a-session"),
        message("run:written", [], "conversation:plans"),
        message("run:changed", {**RUN, "n": True}, "conversation:plans"),
        message("run:written", {"conversation_id": "plans"}, "conversation:plans"),
        message("run:started", RUN, "conversation:plans"),
        message("presence:changed", {}, {"a": 1}),
        message("presence:changed", {}, "sid-of-a-session"),
        message("devices:changed", {"devices": [{"device_id": "d"}]}, "user:ann"),
        message("devices:changed", {"devices": [7]}, "user:ann"),
        message(["run:written"], RUN, "conversation:plans"),  # type: ignore[arg-type]
        message("session:ended", {}, ["sid"]),
    ],
)
def test_a_bus_message_that_is_no_event_of_ours_is_dropped(forged: Any) -> None:
    assert parse_bus_message(forged) is None


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["conversation:plans", "emit"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["event", "data", "room", "method", *ENTRY]), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(_json, st.sampled_from(["entry:appended", "run:changed", "devices:changed", "session:ended"]))
def test_no_bus_message_whatsoever_raises(value: Any, event: str) -> None:
    parse_bus_message(json.dumps(value))
    parse_bus_message(message(event, value, "conversation:plans"))
    parse_bus_message(message(event, {**ENTRY, "devices": value, "run_id": value, "data": value}, value))


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

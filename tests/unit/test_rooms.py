"""Frames go to those in a room, in order; with joined writes those of a few milliseconds go in one write."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sio_server.gateway.fanout.rooms import LocalRooms
from tests.waiting import poll


class Client:
    def __init__(self, eio_sid: str) -> None:
        self.eio_sid = eio_sid
        self.writes: list[bytes] = []

    def put_event(self, frame: bytes) -> None:
        self.writes.append(frame)


class Server:
    packet_class = SimpleNamespace(json=None)

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.eio = SimpleNamespace(generate_id=lambda: f"session-{len(self.clients)}")

    def recipient(self, eio_sid: str) -> Client:
        return self.clients.setdefault(eio_sid, Client(eio_sid))

    def event_frame(self, text: bytes) -> bytes:
        return b"<" + text + b">"


async def joined(rooms: LocalRooms, name: str) -> tuple[str, Client]:
    """A session in the room."""
    sid = await rooms.pre_connect(name, "/")
    assert sid is not None
    await rooms.connect(sid, "/")
    rooms.enter(sid, "room")
    return sid, rooms.server.clients[name]


@pytest.fixture
def rooms() -> LocalRooms:
    made = LocalRooms()
    server: Any = Server()
    made.set_server(server)
    return made


async def test_a_frame_goes_to_those_in_the_room_and_an_event_to_one_session_too(rooms: LocalRooms) -> None:
    ann, first = await joined(rooms, "a")
    _, second = await joined(rooms, "b")
    assert rooms.deliver_frame("room", b"1") == 2
    assert rooms.deliver(ann, "e", {"n": 2}) == 1
    assert rooms.deliver_frame("elsewhere", b"3") == 0
    assert first.writes == [b"<1>", b'<42["e",{"n":2}]>']
    assert second.writes == [b"<1>"]


async def test_a_session_that_has_ended_is_in_no_room(rooms: LocalRooms) -> None:
    sid, client = await joined(rooms, "a")
    rooms.basic_disconnect(sid, "/")
    assert rooms.deliver_frame("room", b"1") == rooms.deliver(sid, "e", {}) == 0
    assert (client.writes, rooms.is_connected(sid, "/"), rooms.sid_from_eio_sid("a", "/")) == ([], False, None)
    with pytest.raises(KeyError):
        rooms.enter(sid, "room")


async def test_one_client_that_fails_keeps_no_other_from_its_event(rooms: LocalRooms) -> None:
    _, first = await joined(rooms, "a")
    _, second = await joined(rooms, "b")
    first.put_event = None  # type: ignore[method-assign, assignment]
    rooms.deliver_frame("room", b"1")
    assert second.writes == [b"<1>"]


async def test_frames_of_a_few_milliseconds_are_written_together_but_for_the_first(rooms: LocalRooms) -> None:
    rooms.join_writes_s = 0.005
    _, client = await joined(rooms, "a")
    for number in range(4):
        rooms.deliver_frame("room", b"%d" % number)
    assert client.writes == [b"<0>"]
    await poll(lambda: len(client.writes) > 1, "the joined write")
    assert client.writes == [b"<0>", b"<1><2><3>"]
    await poll(lambda: not rooms._joining, "a quiet room")
    rooms.deliver_frame("room", b"4")
    assert client.writes[-1] == b"<4>"


@pytest.mark.parametrize("act", ["enter", "leave", "deliver", "end"])
async def test_what_waits_is_written_before_anything_that_it_must_not_come_after(
    rooms: LocalRooms, act: str
) -> None:
    rooms.join_writes_s = 60.0
    sid, client = await joined(rooms, "a")
    for number in range(3):
        rooms.deliver_frame("room", b"%d" % number)
    assert client.writes == [b"<0>"]
    if act == "enter":
        _, newcomer = await joined(rooms, "b")
        assert newcomer.writes == []
    elif act == "leave":
        rooms.leave(sid, "room")
    elif act == "end":
        rooms.basic_disconnect(sid, "/")
    else:
        rooms.deliver(sid, "e", {})
    assert client.writes[1] == b"<1><2>"
    timer = rooms._timer
    assert isinstance(timer, asyncio.TimerHandle)
    timer.cancel()

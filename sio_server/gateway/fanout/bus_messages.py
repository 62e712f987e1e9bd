"""Messages of the bus, `<head>\\n<frame>`: what a node reads of them, checked before it acts.

The head has what a node must know, in fields separated by one space; the frame is the finished packet for clients,
passed on as bytes (docs/decisions/0021-channels-and-ready-frames.md):

    E <n> <epoch> <seq> <ts> <type> <about>   an entry; about: the user who left, the run that it ends, or `-`
    N <n>                                     another event of the conversation's stream
    X                                         an event without a number
    D                                         devices:changed, which the node reads as well
    R <epoch>                                 the log has a new epoch, or is gone (-); no frame
    S <session id> ...                        these sessions have ended; session:ended's payload, no frame

Whoever may publish could send anything. What does not have this form is dropped here, and what would end a session
or start a conversation over is looked up in Redis.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sio_server.gateway.fanout.numbered import EntryHead, StreamEvent
from sio_server.protocol.events import EntryType, ServerEvent
from sio_server.store.keys import USER_ROOM

MAX_HEAD = 64 * 1024  # bytes
MAX_DIGITS = 15  # of a number: as many as every JSON number holds exactly


class RoomEvent(NamedTuple):
    """An event without a number, ready for the room."""

    frame: bytes


class DevicesChanged(NamedTuple):
    """The devices of the user whose room it is, ready for the room and as the node reads them."""

    frame: bytes
    devices: list[dict[str, Any]]


class NewEpoch(NamedTuple):
    """The log of the conversation is said to have a new epoch, or to be gone."""

    epoch: str


class SessionsEnded(NamedTuple):
    """Sessions are said to have ended, with this payload of `session:ended`."""

    session_ids: list[str]
    payload: dict[str, Any]


BusEvent = StreamEvent | RoomEvent | DevicesChanged | NewEpoch | SessionsEnded


def _begins(*events: str) -> tuple[bytes, ...]:
    return tuple(f'42["{event}",{{'.encode() for event in events)


_ENTRY = _begins(ServerEvent.ENTRY_APPENDED)
_NUMBERED = _begins(ServerEvent.RUN_CHANGED, ServerEvent.RUN_WRITTEN)
_DEVICES = _begins(ServerEvent.DEVICES_CHANGED)
_OF_CONVERSATION = _begins(ServerEvent.PRESENCE_CHANGED, ServerEvent.MARKS_MOVED, ServerEvent.TYPING_CHANGED)
_OF_USER = _begins(ServerEvent.CONVERSATION_CHANGED, ServerEvent.LIST_CHANGED, ServerEvent.DRAFT_CHANGED)


def parse_bus_message(room: str, data: bytes) -> BusEvent | None:
    """What a message on the channel of a room says, or None when it is none of ours."""
    end = data.find(b"\n", 0, MAX_HEAD)
    if end < 0:
        return None
    try:
        kind, *fields = data[:end].decode("ascii").split(" ")
        frame = data[end + 1 :]
        if room.startswith(USER_ROOM):
            return _of_user(kind, fields, frame)
        return _of_conversation(kind, fields, frame)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _of_conversation(kind: str, fields: list[str], frame: bytes) -> BusEvent | None:
    if kind == "E":
        n, epoch, seq, ts, entry_type, about = fields
        if entry_type == EntryType.MEMBER_LEFT and about == "-":
            return None
        return StreamEvent(
            _number(n), _checked(frame, _ENTRY), EntryHead(epoch, _number(seq), ts, entry_type, about)
        )
    if kind == "N":
        (n,) = fields
        return StreamEvent(_number(n), _checked(frame, _NUMBERED), None)
    if kind == "X" and not fields:
        return RoomEvent(_checked(frame, _OF_CONVERSATION))
    if kind == "R":
        (epoch,) = fields
        return NewEpoch(epoch)
    return None


def _of_user(kind: str, fields: list[str], frame: bytes) -> BusEvent | None:
    if kind == "X" and not fields:
        return RoomEvent(_checked(frame, _OF_USER))
    if kind == "D" and not fields:
        devices = json.loads(_checked(frame, _DEVICES)[2:])[1]["devices"]
        if all(isinstance(d["device_id"], str) and isinstance(d["device_name"], str) for d in devices):
            return DevicesChanged(frame, devices)
    if kind == "S" and fields:
        payload = json.loads(frame)
        if isinstance(payload["reason"], str):
            return SessionsEnded(fields, payload)
    return None


def _number(digits: str) -> int:
    if not digits.isdigit() or len(digits) > MAX_DIGITS or digits == "0":
        raise ValueError("no number of ours")
    return int(digits)


def _checked(frame: bytes, begins: tuple[bytes, ...]) -> bytes:
    """The frame, if it begins and ends as one of these events and is UTF-8; else ValueError. JSON is not read."""
    if not frame.startswith(begins) or not frame.endswith(b"}]"):
        raise ValueError("no event of ours")
    if not frame.isascii():
        frame.decode()
    return frame

"""The form of messages on the bus, checked before a node acts on them: whoever may publish could send anything.

A false event is a nuisance at most. Nothing that comes over the bus changes the log, and nothing breaks the node
that receives it: what does not have the form of an event of ours is dropped here, and what would end a session or
start a conversation over is looked up in Redis.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sio_server.protocol.events import STREAM_EVENTS, EntryType, ServerEvent
from sio_server.store.keys import conversation_room

# Without those that a node sends to its own sessions only.
_PUBLISHED: frozenset[str] = frozenset(ServerEvent) - {
    ServerEvent.SESSION_OPENED,
    ServerEvent.CONVERSATION_SYNCED,
}
_ROOMS = ("conversation:", "user:")
# Fields on which the node itself acts.
_FIELDS: dict[str, dict[str, type]] = {
    ServerEvent.ENTRY_APPENDED: {
        "conversation_id": str,
        "n": int,
        "epoch": str,
        "seq": int,
        "type": str,
        "ts": str,
        "data": dict,
    },
    ServerEvent.CONVERSATION_RESET: {"conversation_id": str, "epoch": str},
    ServerEvent.RUN_CHANGED: {"conversation_id": str, "n": int},
    ServerEvent.RUN_WRITTEN: {"conversation_id": str, "n": int},
    ServerEvent.DEVICES_CHANGED: {"devices": list},
    ServerEvent.SESSION_ENDED: {"reason": str},
}
# Events of one conversation, whose room must be that of the conversation they name.
_OF_CONVERSATION = STREAM_EVENTS | {ServerEvent.CONVERSATION_RESET}


class BusEvent(NamedTuple):
    """An event of ours; `room` is a name, or a list of names."""

    name: str
    payload: dict[str, Any]
    room: Any


def parse_bus_message(data: Any) -> BusEvent | None:
    """The event that a message on the bus carries, or None when it is no event of ours."""
    try:
        message = json.loads(data)
        name, (payload,), room = message["event"], message["data"], message["room"]
        valid = message["method"] == "emit" and name in _PUBLISHED and isinstance(payload, dict)
        if not valid or not _has_form_of(name, payload, room):
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return BusEvent(name, payload, room)


def _has_form_of(name: str, payload: dict[str, Any], room: Any) -> bool:
    """Whether the payload and the rooms are such as this event has."""
    for field, kind in _FIELDS.get(name, {}).items():
        if not isinstance(payload[field], kind) or isinstance(payload[field], bool):
            return False
    rooms = room if isinstance(room, list) else [room]
    if not rooms or not all(isinstance(room_name, str) for room_name in rooms):
        return False
    if name == ServerEvent.SESSION_ENDED:
        return True  # to sessions, by their ids
    if not all(room_name.startswith(_ROOMS) for room_name in rooms):
        return False
    if name in _OF_CONVERSATION and room != conversation_room(payload["conversation_id"]):
        return False
    if name == ServerEvent.ENTRY_APPENDED:
        left = payload["type"] == EntryType.MEMBER_LEFT
        return payload["seq"] >= 1 and (not left or isinstance(payload["data"]["user_id"], str))
    if name == ServerEvent.DEVICES_CHANGED:
        devices = payload["devices"]
        return all(isinstance(d["device_id"], str) and isinstance(d["device_name"], str) for d in devices)
    return True

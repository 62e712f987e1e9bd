"""What is heard on the bus, before it is believed: who may publish there could say anything.

False news is a nuisance at most. Nothing that is heard changes the log, and nothing breaks the node that hears
it: what does not have the form of an event of ours is dropped here, and what would end a session is looked up in
Redis.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sio_server.protocol.events import EntryType, ServerEvent
from sio_server.store.keys import conversation_room

# Without those that a node tells its own sessions only.
_SPREAD: frozenset[str] = frozenset(ServerEvent) - {
    ServerEvent.SESSION_READY,
    ServerEvent.CONVERSATION_RESET,
    ServerEvent.SERVER_DRAINING,
}
_ROOMS = ("conversation:", "user:")
# Fields on which the node itself acts.
_FIELDS: dict[str, dict[str, type]] = {
    ServerEvent.CONVERSATION_ENTRY: {
        "conversation_id": str,
        "epoch": str,
        "seq": int,
        "type": str,
        "ts": str,
        "data": dict,
    },
    ServerEvent.RUN_FINISHED: {"run_id": str, "status": str},
    ServerEvent.DEVICE_UPDATED: {"devices": list},
    ServerEvent.SESSION_ENDED: {"reason": str},
}


class Heard(NamedTuple):
    """An event of ours; `room` is a name, or a list of names."""

    event: str
    payload: dict[str, Any]
    room: Any


def understand(data: Any) -> Heard | None:
    """What a message on the bus says, or None for what is no event of ours."""
    try:
        message = json.loads(data)
        event, (payload,), room = message["event"], message["data"], message["room"]
        fits = message["method"] == "emit" and event in _SPREAD and isinstance(payload, dict)
        if not fits or not _is_of(event, payload, room):
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Heard(event, payload, room)


def _is_of(event: str, payload: dict[str, Any], room: Any) -> bool:
    """Whether the payload and the rooms are such as this event has."""
    for name, kind in _FIELDS.get(event, {}).items():
        if not isinstance(payload[name], kind) or isinstance(payload[name], bool):
            return False
    rooms = room if isinstance(room, list) else [room]
    if not rooms or not all(isinstance(name, str) for name in rooms):
        return False
    if event == ServerEvent.SESSION_ENDED:
        return True  # to sessions, by their ids
    if not all(name.startswith(_ROOMS) for name in rooms):
        return False
    if event == ServerEvent.CONVERSATION_ENTRY:
        left = payload["type"] == EntryType.MEMBER_LEFT
        if payload["seq"] < 1 or (left and not isinstance(payload["data"]["user_id"], str)):
            return False
        return bool(room == conversation_room(payload["conversation_id"]))
    if event == ServerEvent.DEVICE_UPDATED:
        devices = payload["devices"]
        return all(isinstance(d["device_id"], str) and isinstance(d["device_name"], str) for d in devices)
    return True

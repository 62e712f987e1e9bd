"""A user's devices and their live connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DeviceSession:
    """One live connection of a device."""

    session_id: str
    node: str
    since: str


@dataclass(frozen=True)
class Device:
    """A device of the user; `last_seen` is now while it is online. `sessions` holds the newest."""

    device_id: str
    device_name: str
    online: bool
    sessions: tuple[DeviceSession, ...]
    last_seen: str

    @classmethod
    def from_wire(cls, item: Mapping[str, Any]) -> Device:
        """Read one of the `devices` that the server lists; unknown fields of a newer server are ignored."""
        sessions = tuple(
            DeviceSession(session["session_id"], session["node"], session["since"]) for session in item["sessions"]
        )
        return cls(item["device_id"], item["device_name"], item["online"], sessions, item["last_seen"])

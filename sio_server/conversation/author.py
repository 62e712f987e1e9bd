"""The user who does something in a conversation, on which device and in which session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sio_server.store.json_text import to_json


@dataclass(frozen=True)
class Author:
    """The user who does something, and the device."""

    user_id: str
    name: str
    device_id: str
    device_name: str = ""
    session_id: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False)  # for graphs; not in the log

    def to_json(self) -> str:
        """The author as entries and events say it: `{user_id, name, device_id, device_name, session_id}`."""
        names = ("user_id", "name", "device_id", "device_name", "session_id")
        return to_json({name: getattr(self, name) for name in names})

    def to_person(self) -> str:
        """The author as run records keep it for the graph: `{user_id, name, device_id, claims}`."""
        return to_json(
            {
                "user_id": self.user_id,
                "name": self.name,
                "device_id": self.device_id,
                "claims": dict(self.claims),
            }
        )

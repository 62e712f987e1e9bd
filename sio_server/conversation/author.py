"""The user who does something in a conversation, on which device and in which session."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sio_server.store.json_text import to_json


@dataclass(frozen=True)
class Author:
    """The user who does something, and the device."""

    user_id: str
    name: str
    device_id: str
    device_name: str = ""
    session_id: str = ""

    def to_json(self) -> str:
        """The author as entries and events say it: `{user_id, name, device_id, device_name, session_id}`."""
        return to_json(asdict(self))

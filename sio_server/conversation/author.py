"""The user who does something in a conversation, on which device and in which session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
    is_bot: bool = False  # a program that answers by itself

    # Each text is made once: a session has one author, who writes many messages.

    def to_json(self) -> str:
        """The author as entries and events say it: `{user_id, name, device_id, device_name, session_id, bot?}`."""
        return self._json

    def to_members(self) -> str:
        """The same without braces, device name and session, as the data of a message has it."""
        return self._members

    def to_person(self) -> str:
        """The author as run records keep it for the graph: `{user_id, name, device_id, claims}`."""
        return self._person

    @cached_property
    def _json(self) -> str:
        rest = to_json({"device_name": self.device_name, "session_id": self.session_id})
        return f"{{{self._members},{rest[1:]}"

    @cached_property
    def _members(self) -> str:
        bot = {"bot": True} if self.is_bot else {}
        return to_json({"user_id": self.user_id, "name": self.name, "device_id": self.device_id, **bot})[1:-1]

    @cached_property
    def _person(self) -> str:
        return f'{{{self._members},"claims":{to_json(dict(self.claims))}}}'

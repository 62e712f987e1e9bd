"""One session: a live connection of a device of a user."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Any

import orjson

from sio_server.conversation.author import Author

_NO_CLAIMS: Mapping[str, Any] = MappingProxyType({})


@dataclass(eq=False, slots=True)
class Session:
    """One live connection of a device of a user, on this node."""

    sid: str
    user_id: str
    name: str
    device_id: str
    device_name: str
    issued_ms: int | None = None  # when its token was issued, by the issuer's clock
    expires_at: float = inf  # when its token expires, in seconds since 1970
    ends_at: float = inf  # the same by the monotonic clock, once Redis has said what time it is
    since: str = ""  # when it began, by Redis' clock (ISO 8601 UTC)
    address: str = ""  # to which it is counted; '' for none
    claims: Mapping[str, Any] = field(default_factory=lambda: _NO_CLAIMS)  # of its token, which graphs are told
    is_guest: bool = False  # its token was given to a guest here, and may be renewed
    is_operator: bool = False  # may rename and delete conversations, and remove members, being none
    acked: asyncio.Future[None] | None = None  # done when it has been told that it has signed itself out
    devices: str | None = None  # the user's devices (JSON) for `session:opened`; None when they must be read
    last_end: str = ""  # why the device's last session was disconnected (JSON), for `session:opened`
    written: bool = False  # Redis has said that it is written
    opened: bool = False  # `session:opened` was sent
    _overtaken: bool = field(default=False, init=False, repr=False)
    _author: Author | None = field(default=None, init=False, repr=False)

    @property
    def author(self) -> Author:
        """The user and the device as what they do is written."""
        if self._author is None or self._author.device_name != self.device_name:
            self._author = Author(self.user_id, self.name, self.device_id, self.device_name, self.sid, self.claims)
        return self._author

    def on_written(self, devices: str, last_end: str) -> None:
        """Redis says that the session is written, and what its client is to be told."""
        self.written = True
        self.last_end = last_end
        if self.devices is None and not self._overtaken:
            self.devices = devices

    def on_devices_changed(self, devices: Sequence[Mapping[str, Any]]) -> None:
        """The bus brings the user's devices, before the session is in the user's room.

        The bus may be faster than the reply to the writing: then the list is newer than the reply if it names this
        session. If it does not, it may be older or newer.
        """
        if self.opened:
            return
        if self.written or any(one["session_id"] == self.sid for device in devices for one in device["sessions"]):
            self.devices = orjson.dumps(devices).decode()
        else:
            self.devices, self._overtaken = None, True

"""One session: a live connection of a device of a user."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from sio_server.conversation.author import Author


@dataclass(eq=False)
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
    claims: Mapping[str, Any] = field(default_factory=dict)  # of its token, which graphs are told
    acked: asyncio.Future[None] | None = None  # done when it has been told that it has signed itself out

    @property
    def author(self) -> Author:
        return Author(self.user_id, self.name, self.device_id, self.device_name, self.sid, self.claims)

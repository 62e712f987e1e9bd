"""What a browser keeps of its guest: a signed text, with which it gets tokens of the same user again.

It has an audience of its own, so it opens no session itself, and names the devices that the browser was: it counts
no longer when one of them was signed out, or the guest's tokens were revoked, after it was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.claims import Identity
from sio_server.protocol.errors import Refused
from sio_server.users.sign_out import RefusedTokens

DEVICES = "devices"  # the claim with the browser's devices
AUDIENCE = "/remembered"  # after that of tokens
MOST_DEVICES = 20  # of a browser that are named, the latest; every tab is one
DAY_S = 86_400


class RememberedGuests:
    """Makes and reads what browsers keep of their guests."""

    def __init__(self, texts: Tokens, refused_tokens: RefusedTokens, *, secret: str, days: int) -> None:
        """`texts` have the audience of what is kept, and tell its devices. `days`: how long; 0: nothing is kept.

        `secret` is the same on all nodes that share a Redis, and never changes.
        """
        self._texts = texts
        self._refused_tokens = refused_tokens
        self.kept_s = days * DAY_S
        # Cookies know no ports: servers beside this one on the same host have others.
        self.cookie = f"roomgraph_guest_{hashlib.sha256(f'guest {secret}'.encode()).hexdigest()[:8]}"

    def keep(self, user_id: str, name: str, devices: Sequence[str]) -> str:
        """What the browser of a guest, which was these devices, is to keep."""
        return self._texts.issue(user_id, name, self.kept_s, more={DEVICES: list(devices[-MOST_DEVICES:])})

    async def find(self, kept: str) -> Identity | None:
        """The guest of a browser that keeps this; None when it counts no longer. Raises Unavailable."""
        if not kept or not self.kept_s:
            return None
        try:
            guest = self._texts.check(kept)
            await self._refused_tokens.check(guest.user_id, guest.issued_ms, devices_of(guest))
        except Refused:
            return None
        return guest


def devices_of(guest: Identity) -> list[str]:
    """The devices that the browser of a remembered guest was."""
    return [str(device_id) for device_id in guest.claims.get(DEVICES, ())]

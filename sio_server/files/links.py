"""Signed addresses of files, for elements of a page that send no token: short lived, and of one user."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import urlencode

LINK_S = 600


class FileLinks:
    """Makes addresses and checks them. They hold on all nodes, which share the secret."""

    def __init__(self, secret: str, now: Callable[[], float], base_path: str = "") -> None:
        """`now`: in seconds since 1970, the same on all nodes."""
        self._secret = secret.encode()
        self._now = now
        self._base_path = base_path

    def make(self, conversation_id: str, file_id: str, user_id: str) -> str:
        """The path with its query, good for LINK_S seconds."""
        expires = str(int(self._now()) + LINK_S)
        fields = {"conversation_id": conversation_id, "user_id": user_id, "expires": expires}
        signature = self._sign(conversation_id, file_id, user_id, expires)
        return f"{self._base_path}/api/files/{file_id}?{urlencode({**fields, 'signature': signature})}"

    def holds(self, conversation_id: str, file_id: str, user_id: str, expires: str, signature: str) -> bool:
        """Whether this was signed here, and has not expired."""
        right = self._sign(conversation_id, file_id, user_id, expires)
        if not hmac.compare_digest(right.encode(), signature.encode()):
            return False
        return int(expires) > self._now()

    def _sign(self, *what: str) -> str:
        # No part may hold a line break: together they say one thing only.
        said = "\n".join(("roomgraph file link", *(part.replace("\n", " ") for part in what)))
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()

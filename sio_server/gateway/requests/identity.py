"""Which request a repetition repeats."""

from __future__ import annotations

from typing import Protocol

from sio_server.gateway.sessions.session import Session
from sio_server.store.scripts import Request


class _Change(Protocol):
    """A request that changes something."""

    @property
    def request_id(self) -> str: ...

    @property
    def digest(self) -> str: ...


def identify(session: Session, request: _Change) -> Request:
    """The identity of a request that changes something: its user, its id and the digest of its body."""
    return Request(session.user_id, request.request_id, request.digest)

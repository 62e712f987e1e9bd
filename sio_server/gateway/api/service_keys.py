"""The keys of services, each with the name of the service that has it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sio_server.conversation.author import Author
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.run import SERVICE_PREFIX

HASHED = "sha256."  # before the digest of a key that the setting does not hold itself
DEVICE = "api"  # what entries and events name as the device


@dataclass(frozen=True)
class Service:
    """A backend that uses the API. As a user it is a member nowhere, and may act in every conversation."""

    name: str

    @cached_property
    def author(self) -> Author:
        """The service as the one who acts."""
        return Author(SERVICE_PREFIX + self.name, self.name, DEVICE, self.name)

    def acting_as(self, user_id: str, name: str | None) -> Author:
        """Another user for whom it acts."""
        return Author(user_id, name or user_id, DEVICE, self.name)


class ServiceKeys:
    """Checks keys. A service may have several, so that one can be replaced without a pause."""

    def __init__(self, listed: Iterable[str]) -> None:
        """`listed`: `name:key`, or `name:sha256.` and the SHA-256 of the key as 64 hexadecimal digits."""
        self._digests = []
        for item in listed:
            name, _, key = item.partition(":")
            digest = bytes.fromhex(key.removeprefix(HASHED)) if key.startswith(HASHED) else _digest(key)
            self._digests.append((digest, Service(name)))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def check(self, key: str) -> Service:
        """The service that has this key. Raises Refused. Which bytes are wrong does not show in its time."""
        given, found = _digest(key), None
        for digest, service in self._digests:
            if hmac.compare_digest(given, digest):
                found = service
        if found is None:
            raise Refused(ErrorCode.TOKEN_INVALID, "this is not a key of a service of this server")
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()

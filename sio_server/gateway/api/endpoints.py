"""An endpoint of the API: its method and path, what it takes and answers, and what carries it out."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import Field, TypeAdapter

from sio_server.conversation.author import Author
from sio_server.gateway.api.models import Acting, Body, Nothing, Query
from sio_server.gateway.api.service_keys import Service
from sio_server.protocol.events import Id, UserId
from sio_server.protocol.sent import Sent
from sio_server.store.scripts import Request

# The parameters that paths may have.
PARAMETERS: dict[str, TypeAdapter[Any]] = {
    "conversation_id": TypeAdapter(Id),
    "user_id": TypeAdapter(UserId),
    "run_id": TypeAdapter(Id),
    "interrupt_id": TypeAdapter(Id),
    "name": TypeAdapter(Id),
    "schedule_id": TypeAdapter(Id),
    "seq": TypeAdapter(Annotated[int, Field(ge=1, le=2**53 - 1)]),
    "page": TypeAdapter(Annotated[int, Field(ge=0, le=2**53 - 1)]),
}


@dataclass(frozen=True)
class Call:
    """One request: by which service, on what, and its `Idempotency-Key` (one of our own if there was none)."""

    operation: str
    service: Service
    path: Mapping[str, Any]
    given: Body | Query
    key: str

    @property
    def conversation_id(self) -> str:
        return str(self.path["conversation_id"])

    @property
    def author(self) -> Author:
        """Who acts."""
        user = self.given.user if isinstance(self.given, Acting) else None
        return self.service.acting_as(user.user_id, user.name) if user else self.service.author

    def identify(self, user_id: str = "") -> Request:
        """The identity of a request that changes something, as the requests of sockets have one."""
        body = self.given.model_dump(mode="json", exclude={"after"})
        text = json.dumps([self.operation, dict(self.path), body], sort_keys=True)
        digest = hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        return Request(user_id or self.author.user_id, self.key, digest)


def new_key() -> str:
    """A key for a request that came without one: nobody will repeat it."""
    return secrets.token_hex(16)


Handler = Callable[[Call, Any], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Endpoint:
    """One operation. `takes` is a Body or a Query; `status` that of a success."""

    method: str
    path: str
    handler: Handler
    answers: type[Sent]
    takes: type[Body | Query] = Nothing
    status: int = 200

    @property
    def operation(self) -> str:
        """Its name in the description."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]

    @property
    def changes(self) -> bool:
        """Whether it changes something, and takes an `Idempotency-Key`."""
        return self.method != "GET"


class Endpoints(Protocol):
    """A group of endpoints."""

    def endpoints(self) -> list[Endpoint]:
        """The endpoints of the group."""
        ...

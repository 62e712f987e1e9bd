"""Requests about the agent's runs: stop, answer a question, regenerate."""

from __future__ import annotations

import random
from typing import Any

from sio_server.conversation.turns import Turns
from sio_server.gateway.requests.identity import identify
from sio_server.gateway.sessions.session import Session
from sio_server.protocol import events


def new_run_id() -> str:
    """An id for a run that a request may begin: unique, and no secret."""
    return f"r-{random.getrandbits(64):016x}"


class RunRequests:
    """The handlers of these events; each returns its ack."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def stop(self, session: Session, request: events.RunStop) -> dict[str, Any]:
        stopped = await self._turns.stop(
            request.conversation_id, session.author, request.run_id, request=identify(session, request)
        )
        return {"conversation_id": request.conversation_id, "stopped": stopped}

    async def respond(self, session: Session, request: events.InterruptRespond) -> dict[str, Any]:
        return await self._turns.respond(
            request.conversation_id,
            session.author,
            request.interrupt_id,
            request.value,
            run_id=new_run_id(),
            request=identify(session, request),
        )

    async def regenerate(self, session: Session, request: events.RunRegenerate) -> dict[str, Any]:
        run_id = await self._turns.regenerate(
            request.conversation_id,
            session.author,
            request.seq,
            run_id=new_run_id(),
            request=identify(session, request),
        )
        return {"conversation_id": request.conversation_id, "run_id": run_id}

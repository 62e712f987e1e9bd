"""What members do to the agent's turns: stop a run, answer an interrupt, regenerate an answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sio_server.conversation.answer_schema import misfit_of
from sio_server.conversation.author import Author
from sio_server.protocol.answers import CheckedAnswer, check_answer, misfit
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.store.json_text import to_json
from sio_server.store.scripts import Request, Scripts


class AlreadyResolved(Refused):
    """Another answer came first; the details tell which, whose, and the seq of its entry."""

    def __init__(self, winner: dict[str, Any]) -> None:
        by = winner["by"]
        where = by["device_name"] or by["device_id"]
        details = {name: winner[name] for name in ("seq", "value", "by")}
        super().__init__(ErrorCode.ALREADY_RESOLVED, f"{by['name']} has answered already, on {where}", details)


class Turns:
    """Every change is one atomic step with its entry in the log. Raises Refused or Unavailable."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def stop(
        self, conversation_id: str, author: Author, run_id: str | None, *, request: Request | None = None
    ) -> list[str]:
        """End a run now, or all of them, wherever it is executed; return those that this ended."""
        reply = await self._scripts.conversation(
            "stop",
            conversation_id,
            request or Request.unrepeated(author.user_id),
            user_id=author.user_id,
            run_id=run_id,
            by=author.to_json(),
        )
        return list(reply["stopped"])

    async def read(self, conversation_id: str, user_id: str, run_id: str) -> dict[str, Any]:
        """What is known of a run: as `run:changed` tells it, and the `final` entry that ended it, or None.

        A run that has ended is known for a day. Raises Refused with `not_found`.
        """
        reply = await self._scripts.conversation("read_run", conversation_id, user_id=user_id, run_id=run_id)
        final = json.loads(reply["final"]) if reply["final"] else None
        return {**json.loads(reply["run"]), "final": final}

    async def respond(
        self,
        conversation_id: str,
        author: Author,
        interrupt_id: str,
        value: Any,
        *,
        run_id: str,
        request: Request | None = None,
    ) -> dict[str, Any]:
        """Answer an interrupt; return the ack.

        When it was the last open one, the dialog continues in the run `run_id`. Raises AlreadyResolved, and
        Refused (`invalid_payload`, naming the field) for an answer that does not fit the question's form.
        """
        answer = await self._checked(conversation_id, author, interrupt_id, value)
        reply = await self._scripts.conversation(
            "respond",
            conversation_id,
            request or Request.unrepeated(author.user_id),
            user_id=author.user_id,
            interrupt_id=interrupt_id,
            given=to_json(answer.given),
            value=to_json(answer.shown),
            by=author.to_json(),
            person=author.to_person(),
            run_id=run_id,
        )
        if reply.status == "already_resolved":
            raise AlreadyResolved(json.loads(reply["ack"]))
        ack: dict[str, Any] = json.loads(reply["ack"])
        return ack

    async def _checked(self, conversation_id: str, author: Author, interrupt_id: str, value: Any) -> CheckedAnswer:
        """The answer, if it fits the question. What is not open, or not for this person, `respond.lua` refuses."""
        reply = await self._scripts.conversation(
            "read_form", conversation_id, user_id=author.user_id, interrupt_id=interrupt_id
        )
        if not reply["form"]:
            return CheckedAnswer(value, value)
        return await asyncio.to_thread(_check, reply["form"], value)

    async def regenerate(
        self, conversation_id: str, author: Author, seq: int, *, run_id: str, request: Request | None = None
    ) -> str:
        """Answer the message of the last turn again, whose final entry is `seq`; return the run that does it."""
        reply = await self._scripts.conversation(
            "regenerate",
            conversation_id,
            request or Request.unrepeated(author.user_id),
            user_id=author.user_id,
            session_id=author.session_id,
            seq=seq,
            run_id=run_id,
            person=author.to_person(),
        )
        return str(reply["run_id"])


def _check(form: str, value: Any) -> CheckedAnswer:
    """The answer, if it fits this form; raises Refused. In a thread: schemas and answers may be large."""
    answer = check_answer(json.loads(form), value)
    for check in answer.checks:
        if found := misfit_of(check.schema, check.part):
            raise misfit(".".join(part for part in (check.path, found[0]) if part), found[1])
    return answer

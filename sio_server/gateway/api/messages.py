"""Entries, messages and runs: page the log, post, start, read, stop, and answer questions."""

from __future__ import annotations

from typing import Any

from orjson import Fragment

from sio_server.conversation.log import ConversationLog
from sio_server.conversation.turns import Turns
from sio_server.gateway.api import answers, models
from sio_server.gateway.api.endpoints import Call, Endpoint
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.sync_result import entries_of
from sio_server.gateway.requests.runs import new_run_id
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import InterruptRespond


class MessageEndpoints:
    """The handlers; each returns its answer."""

    def __init__(self, conversations: ConversationLog, turns: Turns, fanout: Fanout) -> None:
        self._log = conversations
        self._turns = turns
        self._fanout = fanout

    def endpoints(self) -> list[Endpoint]:
        one = "/conversations/{conversation_id}"
        return [
            Endpoint("GET", one + "/entries", self.read_entries, answers.EntriesRead, takes=models.EntriesQuery),
            Endpoint(
                *("DELETE", one + "/entries/{seq}", self.delete_entry, answers.EntryDeleted),
                takes=models.DeleteEntryQuery,
            ),
            Endpoint("GET", one + "/entries/{seq}/pages/{page}", self.read_entry_page, answers.EntryPageRead),
            Endpoint(
                *("POST", one + "/messages", self.post_message, answers.MessagePosted),
                takes=models.PostMessage,
                status=201,
            ),
            Endpoint("GET", one + "/runs", self.read_runs, answers.RunsRead),
            Endpoint(
                *("POST", one + "/runs", self.start_run, answers.MessagePosted), takes=models.StartRun, status=201
            ),
            Endpoint("POST", one + "/runs/stop", self.stop_runs, answers.RunsStopped, takes=models.StopRuns),
            Endpoint("GET", one + "/runs/{run_id}", self.read_run, answers.RunRead),
            Endpoint(
                *("POST", one + "/runs/{run_id}/stop", self.stop_run, answers.RunsStopped), takes=models.StopRuns
            ),
            Endpoint(
                *("POST", one + "/interrupts/{interrupt_id}", self.respond, answers.Responded),
                takes=models.Respond,
            ),
        ]

    async def read_entries(self, call: Call, query: models.EntriesQuery) -> dict[str, Any]:
        """Read a page of the log."""
        if query.after is not None and query.before is not None:
            raise Refused(ErrorCode.INVALID_PAYLOAD, "after, before: give one of them, not both")
        page = await self._log.page(
            call.conversation_id,
            call.author.user_id,
            limit=query.limit,
            after=query.after,
            before=query.before,
        )
        return {
            "conversation_id": call.conversation_id,
            "epoch": page.bounds.epoch,
            "first": page.bounds.first,
            "head": page.bounds.head,
            "entries": entries_of(page),
        }

    async def read_entry_page(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """Read a page of the whole data of a long entry."""
        seq, page = call.path["seq"], call.path["page"]
        read = await self._log.read_long(call.conversation_id, call.author.user_id, seq, page)
        return {"conversation_id": call.conversation_id, "seq": seq, "page": page, **read}

    async def delete_entry(self, call: Call, query: models.DeleteEntryQuery) -> dict[str, Any]:
        """Delete a message, or what the agent has said: its place in the log stays, and nothing of its text."""
        deleted = await self._log.delete_message(
            call.conversation_id, call.author, call.path["seq"], call.identify(), forget=query.forget
        )
        return {"conversation_id": call.conversation_id, "deleted": deleted}

    async def post_message(self, call: Call, body: models.PostMessage) -> dict[str, Any]:
        """Post a message as the service, or as a user who is a member."""
        return await self._append(call, body.text, body.run, body.after)

    async def start_run(self, call: Call, body: models.StartRun) -> dict[str, Any]:
        """Post a message that the agent answers, whatever the conversation is set to."""
        return await self._append(call, body.text, True, None)

    async def read_runs(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """Read the unfinished runs, with what they have said so far."""
        view = await self._log.get_view(call.conversation_id, call.author.user_id)
        return {"conversation_id": call.conversation_id, "runs": Fragment(view.runs)}

    async def read_run(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """Read a run; one that has ended is known for a day."""
        return await self._turns.read(call.conversation_id, call.author.user_id, call.path["run_id"])

    async def stop_runs(self, call: Call, body: models.StopRuns) -> dict[str, Any]:
        """End all runs of a conversation now; what they have said so far is kept."""
        return await self._stop(call, None)

    async def stop_run(self, call: Call, body: models.StopRuns) -> dict[str, Any]:
        """End a run now; what it has said so far is kept."""
        return await self._stop(call, call.path["run_id"])

    async def respond(self, call: Call, body: models.Respond) -> dict[str, Any]:
        """Answer an open question; the first answer wins."""
        asked = {
            "request_id": call.key,
            "conversation_id": call.conversation_id,
            "interrupt_id": call.path["interrupt_id"],
            "value": body.value,
        }
        request = InterruptRespond.model_validate(asked)
        return await self._turns.respond(
            call.conversation_id,
            call.author,
            request.interrupt_id,
            request.value,
            run_id=new_run_id(),
            request=call.identify(),
        )

    async def _append(self, call: Call, text: str, answer: bool | None, after: str | None) -> dict[str, Any]:
        ack, _ = await self._log.append_message(
            call.conversation_id,
            call.author,
            call.key,
            text,
            run_id=new_run_id(),
            after=after,
            handed=self._fanout.handed(call.conversation_id),
            answer=answer,
        )
        return ack

    async def _stop(self, call: Call, run_id: str | None) -> dict[str, Any]:
        stopped = await self._turns.stop(call.conversation_id, call.author, run_id, request=call.identify())
        return {"conversation_id": call.conversation_id, "stopped": stopped}

"""Runs and their leases: taken, renewed, streamed and ended by the scripts, each step fenced."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from sio_server.conversation.keys import LEASE_MS, RUN_RECORD_TTL_S, ConversationKeys
from sio_server.conversation.log import to_json
from sio_server.conversation.scripts import Scripts
from sio_server.protocol.run import RunStatus, final_entry_type, transition


@dataclass(frozen=True)
class TakenRun:
    """A run that this node may execute, as long as it holds the lease with this fencing token."""

    conversation_id: str
    epoch: str
    run_id: str
    attempt: int  # 1 for the first
    token: str
    input_seq: int
    input: dict[str, Any] | None  # the envelope of the message to answer; None when retention took it


class LeaseLost(Exception):
    """Another node may have taken the run: nothing more may be done for it here."""


class Runs:
    """The runs of all conversations. Every write names its fencing token and raises LeaseLost when it is stale."""

    def __init__(self, scripts: Scripts, node_id: str, node_name: str) -> None:
        self._scripts = scripts
        self._node_id = node_id
        self._node_name = node_name

    async def take(self, conversation_id: str) -> TakenRun | Literal["idle", "held"]:
        """Take the lease of a conversation with its oldest unfinished run.

        `idle`: nothing is unfinished. `held`: another worker holds the lease, and will go on to the next run.
        """
        prefix = ConversationKeys(conversation_id).run_prefix
        reply = await self._scripts.conversation(
            "take_run", conversation_id, self._node_id, LEASE_MS, prefix, self._node_name
        )
        if reply[0] == "idle":
            return "idle"
        if reply[0] == "held":
            return "held"
        _, token, run_id, attempt, input_seq, epoch, envelope = reply
        return TakenRun(
            conversation_id=conversation_id,
            epoch=epoch,
            run_id=run_id,
            attempt=int(attempt),
            token=str(token),
            input_seq=int(input_seq),
            input=json.loads(envelope) if envelope else None,
        )

    async def renew(self, run: TakenRun) -> None:
        """Keep the lease for another LEASE_MS."""
        await self._fenced("renew_lease", run, LEASE_MS)

    async def give_back(self, run: TakenRun) -> None:
        """Let go of the lease, so that the run can be taken again, with the next attempt."""
        await self._fenced("renew_lease", run, 1)

    async def add_text(self, run: TakenRun, offset: int, text: str) -> None:
        """Add to the text so far and show it. `offset` and lengths count Unicode characters."""
        prefix = ConversationKeys(run.conversation_id).run_prefix
        await self._fenced("delta", run, prefix, run.run_id, run.attempt, offset, len(text), text, to_json(text))

    async def finish(self, run: TakenRun, status: RunStatus, data: dict[str, Any]) -> None:
        """End the run with its one final entry, and give the lease back."""
        transition(RunStatus.RUNNING, status)
        prefix = ConversationKeys(run.conversation_id).run_prefix
        entry = to_json({**data, "run_id": run.run_id, "attempt": run.attempt, "input_seq": run.input_seq})
        await self._fenced(
            "finish_run", run, prefix, run.run_id, status, final_entry_type(status), entry, RUN_RECORD_TTL_S
        )

    async def _fenced(self, script: str, run: TakenRun, *args: str | int) -> None:
        reply = await self._scripts.conversation(script, run.conversation_id, run.token, *args)
        if reply[0] == "stale":
            raise LeaseLost(f"{run.run_id} attempt {run.attempt}")

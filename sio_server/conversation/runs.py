"""Runs and their leases as executors use them: claimed, renewed, streamed and ended, each step fenced."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sio_server.conversation.long_entries import shorten
from sio_server.protocol.events import ENTRY_BYTES_SHOWN
from sio_server.protocol.run import RunStatus, final_entry_type
from sio_server.store.json_text import to_json
from sio_server.store.keys import LEASE_MS
from sio_server.store.scripts import Argument, Reply, ScriptCall, Scripts

MAX_ANSWER_BYTES = 8 * 1024 * 1024

_ON_NOTHING: Mapping[str, Argument] = {"checkpoints": "", "written": ""}


@dataclass(frozen=True)
class Batch:
    """What a run has said and reported since the batch before; `number` counts an attempt's batches from 1.

    Items of `parts` are `{part, text}`; `kind`, `speaker` and `data` with the first of a part, whose numbers are
    dense; `cut` when no more of the part is shown.
    """

    number: int
    parts: Sequence[dict[str, Any]]
    reports: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class ClaimedRun:
    """A run that this node may execute, as long as it holds the lease with this fencing token."""

    conversation_id: str
    epoch: str
    run_id: str
    kind: str  # "message", or "resume" with the answers to an earlier run's interrupts
    attempt: int  # 1 for the first
    failures: int  # how many attempts before this one ended in an error of the graph
    token: str
    input_seq: int
    input: dict[str, Any] | None  # the envelope of the message to answer; None when the log no longer keeps it
    source: str  # the thread whose latest checkpoint this attempt begins from; empty: from nothing
    began_from: str  # the thread from which the first attempt began; for answers: that of the interrupts
    answers: dict[str, Any]  # the graph's interrupt id -> value
    replaces: int | None  # seq of the final entry that this run's will replace
    graph: str
    agent_name: str
    base: str = ""  # the thread from which the turn began; empty: from nothing
    person: dict[str, Any] | None = None  # whose request began the run: `{user_id, name, device_id, claims}`
    context: dict[str, Any] | None = None  # of the conversation, as it was given; None: none was
    quoted: dict[str, Any] | None = None  # the envelope of the entry that the message answers, if the log has it
    lost: int = 0  # how many nodes ended while it was at work on them, one after another

    @property
    def thread_id(self) -> str:
        """The thread of this attempt's own checkpoints: an owner that lost its lease writes only there."""
        return f"{self.conversation_id}@{self.epoch}#{self.token}"


class Unwritten(Exception):
    """A checkpoint that was sent before this is not there: nothing was changed."""


@dataclass(frozen=True)
class Carrier:
    """Sends a script that depends on checkpoints of this attempt right behind them, with no round trip between.

    The script checks that the checkpoint `written` is the latest below the key `checkpoints`.
    """

    send: Callable[[ScriptCall | None], Awaitable[Any]]  # returns the script's reply
    checkpoints: str
    written: str


@dataclass(frozen=True)
class NodesLost:
    """Attempts at a run, one after another, whose nodes ended while they continued from the same checkpoint."""

    count: int
    shared: bool  # the last of them may have been ended by another run


@dataclass(frozen=True)
class LeaseHeld:
    """Another worker holds the lease. Unless it is renewed, its run is stalled, or it expires, in `seconds`."""

    seconds: float


@dataclass(frozen=True)
class NothingToDo:
    """The conversation has nothing to do; it may have been deleted."""

    retired: tuple[str, ...] = ()  # its threads, which are to be deleted


@dataclass(frozen=True)
class RunFinished:
    """A run has its final entry."""

    retired: list[str]  # threads to delete
    idle: bool  # no other run of the conversation is unfinished


class AnswerTooLarge(Exception):
    """The data of the final entry has more than the operator allows."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"{size} bytes, of {limit}")
        self.limit = limit


class LeaseLost(Exception):
    """The run is another node's now, or has ended: nothing more may be written for it here."""


class Runs:
    """The runs of all conversations. Every write names its fencing token and raises LeaseLost when it is stale."""

    def __init__(
        self,
        scripts: Scripts,
        node_id: str,
        node_name: str,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        lease_s: float = LEASE_MS / 1000,
    ) -> None:
        """`max_answer_bytes`: of the JSON of a final entry's data. `lease_s`: how long a lease of it lasts."""
        self._lease_ms = round(lease_s * 1000)
        self._max_answer_bytes = max_answer_bytes
        self._scripts = scripts
        self._node_id = node_id
        self._node_name = node_name

    @property
    def lease_s(self) -> float:
        """How long a lease lasts that is not renewed."""
        return self._lease_ms / 1000

    async def claim_run(
        self, conversation_id: str, *, holding: str = "", failed: str = ""
    ) -> ClaimedRun | LeaseHeld | NothingToDo:
        """Take the lease of a conversation with its first unfinished run.

        `holding` is a fencing token whose lease is given up for it. `failed` is the id of the run whose attempt
        under that token has failed: the failure is counted for that run, whichever is claimed.
        """
        reply = await self._scripts.conversation(
            "claim_run",
            conversation_id,
            node_id=self._node_id,
            node_name=self._node_name,
            lease_ms=self._lease_ms,
            holding=holding,
            failed=failed,
        )
        if reply.status == "idle":
            return NothingToDo(tuple(reply["retired"]))
        if reply.status == "held":
            return LeaseHeld(max(int(reply["ms"]), 0) / 1000)
        return ClaimedRun(
            conversation_id=conversation_id,
            epoch=reply["epoch"],
            run_id=reply["run_id"],
            kind=reply["kind"],
            attempt=int(reply["attempt"]),
            failures=int(reply["failures"]),
            token=reply["token"],
            input_seq=int(reply["input_seq"]),
            input=json.loads(reply["input"]) if reply["input"] else None,
            quoted=json.loads(reply["quoted"]) if reply["quoted"] else None,
            source=reply["source"],
            began_from=reply["began_from"],
            answers=json.loads(reply["answers"]) if reply["answers"] else {},
            replaces=int(reply["replaces"]) if reply["replaces"] else None,
            graph=reply["graph"],
            agent_name=reply["agent_name"],
            base=reply["base"],
            person=json.loads(reply["person"]) if reply["person"] else None,
            context=json.loads(reply["context"]) if reply["context"] else None,
            lost=int(reply["lost"]),
        )

    async def adopt_thread(
        self, run: ClaimedRun, checkpoint: str = "", *, shared: bool = False, carrier: Carrier | None = None
    ) -> NodesLost:
        """From now on the run continues from this attempt's checkpoints, whichever node executes it.

        `checkpoint` is the id of the one from which this attempt continues. Returns how many nodes were lost
        there. `shared`: other suspects are at work on this node (see `dialog/suspects.py`). `carrier`: with what
        begins the thread. Raises Unwritten.
        """
        reply = await self._fenced(
            "adopt",
            run,
            carrier,
            run_id=run.run_id,
            thread_id=run.thread_id,
            checkpoint=checkpoint,
            **_depending_on(carrier),
            shared=int(shared),
        )
        return NodesLost(int(reply["lost"]), bool(int(reply["shared"])))

    async def renew_lease(self, run: ClaimedRun) -> None:
        """Keep the lease for as long again as it lasts."""
        await self._fenced("renew_lease", run)

    async def hand_over_run(self, run: ClaimedRun) -> None:
        """Give up the lease of an unfinished run, and ring its bell: another node makes the next attempt."""
        await self._fenced("hand_over", run)

    async def add_written(self, run: ClaimedRun, batch: Batch) -> int:
        """Show what the run has said and reported, and keep it for devices that join; a batch counts once.

        Returns the number of the last batch that is there. When it is less than this one's a failover has lost
        batches: this one was left out, and those behind that number have to be sent again.
        """
        reply = await self._fenced(
            "add_written", run, run_id=run.run_id, attempt=run.attempt, batch=batch.number, **_written(batch)
        )
        return int(reply["batch"])

    async def set_title(self, run: ClaimedRun, title: str) -> None:
        """The run's agent calls the conversation so, unless a person has given it a title."""
        await self._fenced("set_title", run, title=title)

    async def finish_run(
        self,
        run: ClaimedRun,
        status: RunStatus,
        data: dict[str, Any],
        *,
        threads_kept: int,
        interrupts: Sequence[tuple[str, str]] = (),
        moves: bool = True,
        last: Sequence[Batch] = (),
        bells: Sequence[str] = (),
        carrier: Carrier | None = None,
        adopted: bool = False,
    ) -> RunFinished:
        """End the run with its one final entry, and give up the lease.

        `interrupts` are pairs of our id and the graph's. The dialog continues from this attempt's checkpoints,
        unless the run has failed, or not `moves`. What is too long for the log is kept beside it, in pages.
        `last`: the batches that may not have been shown yet, shown before the final entry. `bells`: ids of the run
        queue's messages that are acknowledged when it is idle then. `carrier`: behind the attempt's last
        checkpoint. `adopted`: the attempt has adopted its thread. Raises Unwritten and AnswerTooLarge, and then
        nothing is written.
        """
        about = {"run_id": run.run_id, "attempt": run.attempt, "node": self._node_name, "input_seq": run.input_seq}
        said = {**data, **about}
        if run.replaces is not None:
            said["replaces"] = run.replaces
        forms = {item["interrupt_id"]: item["form"] for item in data.get("interrupts", ())}
        whole, size = to_json(said), 0
        if len(whole) > ENTRY_BYTES_SHOWN // 4:  # of at most 4 bytes each
            size = len(whole.encode())
        if size > self._max_answer_bytes:
            raise AnswerTooLarge(size, self._max_answer_bytes)
        is_long = size > ENTRY_BYTES_SHOWN
        reply = await self._fenced(
            "finish_run",
            run,
            carrier,
            run_id=run.run_id,
            status=status,
            entry_type=final_entry_type(status),
            data=to_json(shorten(said)) if is_long else whole,
            whole=whole if is_long else None,
            threads_kept=threads_kept,
            asked=[[ours, its, to_json(forms[ours]) if ours in forms else ""] for ours, its in interrupts],
            moves=moves,
            attempt=run.attempt,
            last=[[batch.number, *map(to_json, _written(batch).values())] for batch in last],
            bells=list(bells),
            thread=run.thread_id if adopted else None,
            **_depending_on(carrier),
        )
        return RunFinished(list(reply["retired"]), idle=not int(reply["unfinished"]))

    async def retire_thread(self, run: ClaimedRun) -> None:
        """Have this attempt's thread deleted when the run has ended, unless the run continues from it.

        It says as well that the attempt's node is there, though it has lost the lease.
        """
        about = {"run_id": run.run_id, "thread_id": run.thread_id, "token": run.token}
        await self._scripts.conversation("retire", run.conversation_id, **about)

    async def forget_threads(self, thread_ids: Mapping[str, Iterable[str]]) -> None:
        """Record that these threads, by conversation, have been deleted."""
        calls = [(conversation_id, {"thread_ids": list(ids)}) for conversation_id, ids in thread_ids.items()]
        for reply in await self._scripts.conversations("forget_threads", calls):
            if isinstance(reply, Exception):
                raise reply

    async def _fenced(
        self, script: str, run: ClaimedRun, carrier: Carrier | None = None, /, **arguments: Argument
    ) -> Reply:
        about = {"token": run.token, **arguments}
        if carrier is None:
            reply = await self._scripts.conversation(script, run.conversation_id, **about)
        else:
            reply = Reply(await carrier.send(self._scripts.call_later(script, run.conversation_id, **about)))
        if reply.status == "stale":
            raise LeaseLost(f"{run.run_id} attempt {run.attempt}")
        if reply.status == "unwritten":
            raise Unwritten(f"{run.run_id} attempt {run.attempt}")
        return reply


def _depending_on(carrier: Carrier | None) -> Mapping[str, Argument]:
    return {"checkpoints": carrier.checkpoints, "written": carrier.written} if carrier else _ON_NOTHING


def _written(batch: Batch) -> dict[str, Argument]:
    return {
        "parts": list(batch.parts),
        "heads": [to_json(_head(part)) for part in batch.parts if "kind" in part],
        "reports": [to_json(report) for report in batch.reports],
    }


def _head(part: dict[str, Any]) -> dict[str, Any]:
    """What is known of a part when it begins; `part` first, since scripts cut it off."""
    return {name: part[name] for name in ("part", "kind", "speaker", "data") if name in part}

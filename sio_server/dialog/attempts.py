"""A run on this node: attempts at it, each under its own lease, until it has ended or is another node's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.errors import GraphRecursionError

from sio_server.conversation.runs import ClaimedRun, LeaseLost, Runs
from sio_server.dialog.execution import Answer, Execution, Graph, NoAnswer, describe, question
from sio_server.dialog.leases import LeaseKeeper
from sio_server.dialog.savers.checkpoints import CheckpointStore, is_store_error
from sio_server.dialog.savers.plain import StaleOwner
from sio_server.dialog.streaming import RunStream
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.run import RunStatus, agent_id
from sio_server.tasks import end_tasks
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 20  # a run that ends so many nodes, or loses the store so often, is ended as failed
BACK_OFF_S = 0.5  # before the second attempt at a graph that failed; then doubled
HANG_S = 30.0  # a graph that is cancelled and does not end within so long has lost its lease
LEAVE_S = 1.0  # the same when the node is stopped: its runs are handed over then, whatever their graphs do


class _Again(Exception):
    """The attempt came to nothing and another is to be made; `failed`: by the graph's fault."""

    def __init__(self, *, failed: bool) -> None:
        super().__init__()
        self.failed = failed


class _Leaving(Exception):
    """The node is being stopped: the run is to be handed over."""


@dataclass(frozen=True)
class _Ending:
    """How a run ends."""

    status: RunStatus
    data: dict[str, Any]
    interrupts: list[tuple[str, str]]  # our id and the graph's of each


@dataclass(frozen=True)
class RunLimits:
    """What a run may take."""

    timeout_s: float  # of one attempt
    attempts: int  # at a graph that fails
    steps: int  # of a graph that sets no limit of its own
    threads_kept: int  # threads of finished runs


class Attempts:
    """Executes runs that this node has taken."""

    def __init__(
        self,
        *,
        run_records: Runs,
        leases: LeaseKeeper,
        graphs: Mapping[str, Graph],
        checkpoints: CheckpointStore,
        limits: RunLimits,
        on_ended: Callable[[str], None],
        trace: Trace | None = None,
    ) -> None:
        self._runs = run_records
        self._leases = leases
        self._graphs = graphs
        self._checkpoints = checkpoints
        self._limits = limits
        self._on_ended = on_ended
        self._trace = trace or Trace("")
        # run id -> the run, and what is set when it is another's, or ended
        self._executing: dict[str, tuple[ClaimedRun, asyncio.Event]] = {}
        self._leaving = asyncio.Event()
        self._tidying: set[asyncio.Task[None]] = set()

    def ended(self, run_id: str, status: str) -> None:
        """Somebody has ended the run: if it is executed here, that stops at once."""
        executing = self._executing.get(run_id)
        if executing is not None:
            run, over = executing
            if status == RunStatus.STOPPED and not over.is_set():  # no attempt ends so by itself
                self._tell(TraceKind.RUN_ENDED, run, status=status)
            over.set()

    def hand_over(self) -> None:
        """Hand over what is executed, at once.

        A flag, and no cancellation: libraries may swallow one, and a second one would hit the handing over.
        """
        self._leaving.set()

    async def settle(self) -> None:
        """Wait for what is being tidied up."""
        await asyncio.gather(*self._tidying, return_exceptions=True)

    async def execute(self, run: ClaimedRun) -> None:
        """Make attempts at a run until it has ended, is another node's, or is handed over."""
        if run.attempt > 1:
            self._tell(TraceKind.RUN_TAKEN_OVER, run)
        elif run.kind == "resume":
            self._tell(TraceKind.RESUMED, run)
        while True:
            try:
                await self._attempt(run)
                return
            except LeaseLost as exc:
                log.info("a run goes on elsewhere, or has been ended: %s", exc)
                with contextlib.suppress(Unavailable):
                    await self._runs.retire_thread(run)
                return
            except _Leaving:
                await self._let_go(run)
                return
            except _Again as again:
                # The lease is kept meanwhile, so that no other node makes the next attempt without the pause.
                pause = BACK_OFF_S * 2 ** (run.failures if again.failed else min(run.attempt - 1, 3))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):
                        await self._leaving.wait()
                if self._leaving.is_set():
                    await self._let_go(run)
                    return
                try:
                    failed = run.run_id if again.failed else ""
                    taken = await self._runs.claim_run(run.conversation_id, holding=run.token, failed=failed)
                finally:
                    self._leases.release(run)
                if not isinstance(taken, ClaimedRun):
                    return
                run = taken

    async def _attempt(self, run: ClaimedRun) -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        self._executing[run.run_id] = run, over
        self._tell(TraceKind.RUN_STARTED, run)

        def lost() -> None:  # called in the leases' thread
            loop.call_soon_threadsafe(over.set)

        self._leases.hold(run, lost, max_s=self._limits.timeout_s + HANG_S)
        stream = RunStream(self._runs, run)
        work = asyncio.create_task(self._call_graph(run, stream))
        pump = asyncio.create_task(stream.pump())
        taken_away = asyncio.create_task(over.wait())
        leaving = asyncio.create_task(self._leaving.wait())
        keep = False
        try:
            # The first to end decides: the graph, a fenced write that found the lease lost, or who ended the run.
            ends = {work, pump, taken_away, leaving}
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if done == {leaving}:
                raise _Leaving
            if work not in done:
                raise LeaseLost(f"{run.run_id} attempt {run.attempt}")
            ending = work.result()
            stream.end()
            await pump
            await stream.flush()
            retired = await self._finish(run, ending)
        except _Again:
            keep = True
            raise
        finally:
            if not keep:
                self._leases.release(run)
            self._executing.pop(run.run_id, None)
            stream.end()
            # A graph that will not end does no harm: it has lost its lease then.
            patience_s = LEAVE_S if self._leaving.is_set() else HANG_S
            if await end_tasks((work, pump, taken_away, leaving), patience_s=patience_s):
                log.error("a graph does not end though it was cancelled: run=%s", run.run_id)
        self._on_ended(ending.status)
        if ending.status == RunStatus.INTERRUPTED:
            self._tell(TraceKind.ASKED, run)
        self._tell(TraceKind.RUN_ENDED, run, status=ending.status)
        if retired:
            task = asyncio.create_task(self._tidy(run.conversation_id, retired))
            self._tidying.add(task)
            task.add_done_callback(self._tidying.discard)

    async def _let_go(self, run: ClaimedRun) -> None:
        """Hand an unfinished run over to whoever takes it next."""
        self._leases.release(run)
        with contextlib.suppress(Unavailable, LeaseLost):
            await self._runs.hand_over_run(run)

    async def _call_graph(self, run: ClaimedRun, stream: RunStream) -> _Ending:
        graph = self._graphs.get(run.graph)
        if graph is None:
            return self._failed(run, "unknown_graph", f"this server has no agent {run.graph!r}")
        if run.attempt > MAX_ATTEMPTS:
            return self._failed(run, "interrupted_too_often", "the agent was interrupted too often")

        def step(name: str, checkpoint: int) -> None:
            self._tell(TraceKind.RUN_STEP, run, step=name, checkpoint=checkpoint)

        try:
            async with asyncio.timeout(self._limits.timeout_s):
                execution = Execution(
                    graph, self._checkpoints.saver, self._runs, run, stream, step, max_steps=self._limits.steps
                )
                said = await execution()
        except TimeoutError:
            limit = f"{self._limits.timeout_s:g} s"
            return self._failed(run, "timeout", f"the agent did not answer within {limit}")
        except NoAnswer as exc:
            log.warning("a graph gave no answer: run=%s %s", run.run_id, exc)
            return self._failed(run, "no_answer", "the agent gave no answer")
        except UnicodeError:
            log.exception("a graph said what no store can keep: run=%s", run.run_id)
            return self._failed(run, "graph_failed", "the agent said something that is not text")
        except GraphRecursionError:
            return self._failed(run, "too_many_steps", "the agent took too many steps without an answer")
        except (LeaseLost, StaleOwner) as exc:
            raise LeaseLost(f"{run.run_id} attempt {run.attempt}") from exc
        except Exception as exc:
            if isinstance(exc, Unavailable) or is_store_error(exc):
                # Not the graph's fault: the same run is taken again.
                log.warning("the store was lost in a run: run=%s error=%s", run.run_id, exc)
                raise _Again(failed=False) from exc
            # A graph is anybody's code and may raise anything.
            log.exception("a graph failed: run=%s attempt=%d", run.run_id, run.attempt)
            tries = run.failures + 1
            if tries < self._limits.attempts:
                raise _Again(failed=True) from exc
            times = "once" if tries == 1 else f"{tries} times"
            return self._failed(run, "graph_failed", f"the agent tried {times} and could not answer")
        if isinstance(said, Answer):
            data = {**self._agent(run), "text": said.text, "tools": said.tools}
            return _Ending(RunStatus.ANSWERED, data, [])
        asked = describe(said.interrupts, run.run_id)
        text = "\n\n".join(part for part in [said.said, *(question(item["value"]) for item in asked)] if part)
        ids = [
            (item["interrupt_id"], interrupt.id) for item, interrupt in zip(asked, said.interrupts, strict=True)
        ]
        return _Ending(RunStatus.INTERRUPTED, {**self._agent(run), "text": text, "interrupts": asked}, ids)

    def _tell(self, kind: TraceKind, run: ClaimedRun, **fields: Any) -> None:
        about = {"conversation_id": run.conversation_id, "run_id": run.run_id, "attempt": run.attempt}
        self._trace.tell(kind, **about, **fields)

    def _agent(self, run: ClaimedRun) -> dict[str, Any]:
        return {"role": "assistant", "user_id": agent_id(run.graph), "name": run.agent_name}

    def _failed(self, run: ClaimedRun, code: str, reason: str) -> _Ending:
        return _Ending(RunStatus.FAILED, {**self._agent(run), "code": code, "reason": reason}, [])

    async def _finish(self, run: ClaimedRun, ending: _Ending) -> list[str]:
        """Write the final entry. Without a reply from Redis it is written again: the script does it once."""
        while True:
            try:
                return await self._runs.finish_run(
                    run,
                    ending.status,
                    ending.data,
                    threads_kept=self._limits.threads_kept,
                    interrupts=ending.interrupts,
                )
            except Unavailable:
                if self._leaving.is_set():
                    raise
                await asyncio.sleep(0.2)

    async def _tidy(self, conversation_id: str, retired: list[str]) -> None:
        """Delete threads that nobody needs. What this leaves is deleted after the next run."""
        try:
            await self._checkpoints.delete_threads(retired)
            await self._runs.forget_threads(conversation_id, retired)
        except Exception as exc:
            log.warning("old checkpoints were not deleted: conversation=%s error=%s", conversation_id, exc)

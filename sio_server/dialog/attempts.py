"""Executes claimed runs: attempts at a run, each under its own lease, until it has ended or is another node's.

What the end of an attempt means is decided in `outcome.py`; here it is brought about.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from sio_server.conversation.runs import (
    AnswerTooLarge,
    Batch,
    Carrier,
    ClaimedRun,
    LeaseLost,
    NothingToDo,
    RunFinished,
    Runs,
    Unwritten,
)
from sio_server.dialog.answers import Answer, Questions
from sio_server.dialog.attempt_saver import AttemptSaver
from sio_server.dialog.content import ReadFile
from sio_server.dialog.execution import Execution, Graph
from sio_server.dialog.failures import EndedNodes, graph_end, stream_end
from sio_server.dialog.final_entry import Said, final_entry
from sio_server.dialog.graphs.served import Served
from sio_server.dialog.leases import LeaseKeeper
from sio_server.dialog.outcome import (
    Abandon,
    AttemptEnd,
    Decision,
    Finish,
    GraphEnd,
    HandOver,
    StreamEnd,
    Tries,
    TryAgain,
    answer_too_large,
    decide,
    has_ended_nodes,
    too_many,
)
from sio_server.dialog.reopening import asks_again, questions_again
from sio_server.dialog.reports import ReportNodes
from sio_server.dialog.retired_threads import RetiredThreads
from sio_server.dialog.run_meter import MeteredRun, RunMeter
from sio_server.dialog.savers.errors import StoreLost
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.dialog.streaming import RunStream
from sio_server.dialog.suspects import Suspects
from sio_server.log_lines import lines_about
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.run import RunStatus
from sio_server.tasks import end_tasks
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace

log = logging.getLogger(__name__)

HANG_S = 30.0  # a graph that is cancelled and does not end within so long has lost its lease
STOPPING_HANG_S = 1.0  # the same when the node is stopping
CANCEL_S = 0.05  # for a graph to end before its run is handed over: people wait for the next node
KEEP_S = 0.3  # for what its finished nodes have written to be in Redis before that
FINISH_AGAIN_S = 0.2
RETIRE_AGAIN_S = 0.5


@dataclass(frozen=True)
class RunLimits:
    """What a run may take, and tell."""

    timeout_s: float  # of one attempt
    attempts: int  # at a graph that fails
    steps: int  # of a graph that sets no limit of its own
    threads_kept: int  # threads of finished runs
    report_nodes: ReportNodes = "names"  # what members are shown of the graph's nodes


@dataclass(frozen=True)
class HandedOver:
    """An unfinished run was given to other nodes: its lease is released, and its bell has been rung."""


class NotWritten(Exception):
    """The last checkpoint of a graph did not come to be in Redis."""


Next = ClaimedRun | NothingToDo | HandedOver | None  # what follows an attempt


class Attempts:
    """Executes runs that this node has claimed."""

    def __init__(
        self,
        *,
        run_records: Runs,
        leases: LeaseKeeper,
        graphs: Mapping[str, Graph],
        checkpoints: CheckpointStore,
        limits: RunLimits,
        on_ended: Callable[[str], None],
        served: Mapping[str, Served] | None = None,
        trace: Trace | None = None,
        meter: RunMeter | None = None,
        read_file: ReadFile | None = None,
    ) -> None:
        """`on_ended` is called with the status of each run that has ended here; `meter` is told how long it took.

        `served`: what the graphs take, by the same names; messages and no context where it is not said.
        `read_file` reads the files of messages.
        """
        self._runs = run_records
        self._leases = leases
        self._graphs = graphs
        self._served = served or {}
        self._read_file = read_file
        self._checkpoints = checkpoints
        self._limits = limits
        self._on_ended = on_ended
        self._trace = trace or Trace("")
        self._meter = meter or RunMeter(lambda: 0.0)  # it tells nobody
        # run id -> the run, and what is set when it is another node's, or has ended
        self._executing: dict[str, tuple[ClaimedRun, asyncio.Event]] = {}
        self._stopping = asyncio.Event()
        self._suspects = Suspects(run_records)
        self._retired = RetiredThreads(checkpoints, run_records)
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def executing(self) -> int:
        """How many runs are executed now. May be read in any thread."""
        return len(self._executing)

    def on_run_ended(self, run_id: str, status: str) -> None:
        """A run has ended, on whichever node: if it is executed here, that stops at once."""
        executing = self._executing.get(run_id)
        if executing is not None:
            run, over = executing
            if status == RunStatus.STOPPED and not over.is_set():  # no attempt ends so by itself
                self._tell(TraceKind.RUN_ENDED, run, status=status)
            over.set()

    def hand_over_all(self) -> None:
        """Hand over what is executed, at once.

        A flag, and no cancellation: libraries may swallow one, and a second one would hit the handing over.
        """
        self._stopping.set()

    async def settle(self) -> None:
        """Wait until old checkpoints are deleted; when the node stops, what Redis does not answer is left."""
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._retired.delete_now()

    async def delete_threads(self, conversation_id: str, thread_ids: Sequence[str]) -> None:
        """Delete the checkpoints that a deleted conversation has left. Raises what the saver raises."""
        await self._checkpoints.delete_threads(thread_ids)
        await self._runs.forget_threads({conversation_id: thread_ids})

    async def execute(self, run: ClaimedRun, bells: Sequence[str] = ()) -> NothingToDo | HandedOver | None:
        """Make attempts at a run, and at what is claimed under its lease, until no more is to be done here.

        Returns NothingToDo when the conversation had no other unfinished run at the end of the last one: then its
        `bells`, ids of messages of the run queue, are acknowledged. And HandedOver when it goes on elsewhere: its
        bell has been rung again then.
        Whatever a graph does ends its own run only. Raises Unavailable when Redis could not be told of the end.
        """
        if run.attempt > 1:
            self._tell(TraceKind.RUN_TAKEN_OVER, run)
        elif run.kind == "resume":
            self._tell(TraceKind.RESUMED, run)
        following: Next = run
        metered: MeteredRun | None = None
        while isinstance(following, ClaimedRun):
            # The next attempt at the same run, or the next run under the same lease.
            if metered is None or following.run_id != run.run_id:
                metered = self._meter.begin(following)
            run, over = following, asyncio.Event()
            self._executing[run.run_id] = run, over
            try:
                ids = {"conversation_id": run.conversation_id, "run_id": run.run_id, "attempt": run.attempt}
                with lines_about(**ids), self._trace.working(**_about(run)):
                    following = await self._attempt(run, over, bells, metered)
            finally:
                self._executing.pop(run.run_id, None)
        return following

    async def _attempt(
        self, run: ClaimedRun, over: asyncio.Event, bells: Sequence[str], metered: MeteredRun
    ) -> Next:
        """Make an attempt and do what its end asks for.

        Returns the run that was claimed next under its lease; NothingToDo when no other is unfinished;
        HandedOver when other nodes are to continue.
        """
        loop = asyncio.get_running_loop()
        self._tell(TraceKind.RUN_STARTED, run)

        def lost() -> None:  # called in the leases' thread
            loop.call_soon_threadsafe(over.set)

        self._leases.hold_lease(run, lost, max_s=self._limits.timeout_s + HANG_S)

        def on_first_text() -> None:
            metered.first_text()
            self._tell(TraceKind.RUN_SPOKE, run)

        stream = RunStream(self._runs, run, on_first_text, kept_s=self._runs.lease_s + 1)
        saver = AttemptSaver(self._checkpoints.saver, run, partial(self._adopt_thread, run))
        graph = asyncio.create_task(self._call_graph(run, stream, saver))
        pump = asyncio.create_task(stream.pump())
        flags = [asyncio.create_task(over.wait()), asyncio.create_task(self._stopping.wait())]
        decision: Decision | None = None
        handed_over: HandedOver | None = None
        try:
            await asyncio.wait({graph, pump, *flags}, return_when=asyncio.FIRST_COMPLETED)
            ended, said = _graph_ended(graph, run)
            end = AttemptEnd(ended, _stream_ended(pump, run), over.is_set(), self._stopping.is_set())
            decision = decide(end, self._tries(run))
            if isinstance(decision, Finish):
                if ended is not None:  # otherwise the graph still works: nobody knows yet what it has done
                    decision, said = await self._or_ask_again(run, decision, said)
                last = self._take_rest(stream, pump, run)
            while isinstance(decision, Finish):
                try:
                    finished = await self._finish(run, decision, said, last, bells, saver)
                    break
                except AnswerTooLarge as exc:
                    decision, said = answer_too_large(exc.limit), None
                except NotWritten as exc:
                    end, said = AttemptEnd(_graph_end(exc, run), None, end.run_over, self._stopping.is_set()), None
                    decision = decide(end, self._tries(run))
                except LeaseLost:
                    decision = Abandon()
        finally:
            if not isinstance(decision, TryAgain):
                self._leases.release_lease(run)
            stream.close()
            # A graph that will not end does no harm: it has lost its lease then.
            left: Iterable[asyncio.Task[Any]] = (graph, pump, *flags)
            if isinstance(decision, HandOver):
                left = await end_tasks(left, patience_s=CANCEL_S)
                # Before the lease is given up: what comes later is refused, and its node would be run again.
                await _write_rest(saver, KEEP_S)
                handed_over = await self._hand_over(run)
            patience_s = STOPPING_HANG_S if self._stopping.is_set() else HANG_S
            if await end_tasks(left, patience_s=patience_s):
                log.error("a graph does not end though it was cancelled: run_id=%s", run.run_id)
            self._suspects.end(run)
            if not isinstance(decision, (Finish, Abandon, HandOver)):
                await _write_rest(saver, HANG_S)
        match decision:
            case Finish():
                stream.tell_shown()  # with the final entry
                metered.end(decision.status)
                self._announce_end(run, decision.status, finished.retired)
                return NothingToDo() if finished.idle else None
            case Abandon():
                log.info("a run is another node's, or has ended: run_id=%s attempt=%d", run.run_id, run.attempt)
                self._spawn(self._retire_thread(run))
            case TryAgain():
                return await self._claim_again(run, over, decision)
        return handed_over

    def _tries(self, run: ClaimedRun) -> Tries:
        return Tries(run.graph, run.attempt, run.failures, self._limits.attempts, self._limits.timeout_s)

    async def _call_graph(self, run: ClaimedRun, stream: RunStream, saver: AttemptSaver) -> tuple[GraphEnd, Said]:
        """Let the graph work until it ends; what it raises is logged here and does not leave this function."""
        graph = self._graphs.get(run.graph)
        if graph is None:
            return GraphEnd.UNKNOWN_GRAPH, None
        if too_many(run.attempt):
            return GraphEnd.TOO_MANY_ATTEMPTS, None

        def on_step(name: str, checkpoint: int) -> None:
            self._tell(TraceKind.RUN_STEP, run, step=name, checkpoint=checkpoint)

        execution = Execution(
            graph,
            saver,
            run,
            stream,
            on_step,
            max_steps=self._limits.steps,
            report_nodes=self._limits.report_nodes,
            served=self._served.get(run.graph),
            read_file=self._read_file,
        )
        limit = asyncio.timeout(self._limits.timeout_s)
        try:
            async with limit:
                said = await execution.run_graph()
        except GeneratorExit:
            raise
        except BaseException as exc:
            # A timeout of the graph's own is an error like any other; and a graph that was cancelled since it took
            # too long may raise anything.
            if limit.expired():
                return GraphEnd.TIMED_OUT, None
            if isinstance(exc, asyncio.CancelledError):
                raise
            return _graph_end(exc, run), None
        return GraphEnd.ANSWERED if isinstance(said, Answer) else GraphEnd.ASKED, said

    async def _adopt_thread(self, run: ClaimedRun, checkpoint: str, carrier: Carrier | None) -> None:
        """Record that the graph continues from this checkpoint, if it may; `carrier` with what begins the thread.

        Raises EndedNodes, LeaseLost, StoreLost or Unwritten.
        """
        try:
            if run.lost:
                lost = await self._suspects.begin(run, checkpoint, carrier)
            else:
                lost = await self._runs.adopt_thread(run, checkpoint, carrier=carrier)
        except Unavailable as exc:
            raise StoreLost(exc.message) from exc
        if has_ended_nodes(lost.count, shared=lost.shared):
            raise EndedNodes(f"{lost.count} nodes ended while it continued from checkpoint {checkpoint or 'none'}")

    def _take_rest(self, stream: RunStream, pump: asyncio.Task[None], run: ClaimedRun) -> list[Batch]:
        """What the graph said last, shown with the final entry, which says it all: a failure costs nothing."""
        stream.close()
        if _stream_ended(pump, run) is None:
            try:
                return stream.take_rest()
            except Exception:
                log.exception("the end of a text could not be shown: run_id=%s", run.run_id)
        return []

    async def _or_ask_again(self, run: ClaimedRun, how: Finish, said: Said) -> tuple[Finish, Said]:
        """How the run ends, and with what: it asks again when the graph could not use the answers that it got.

        While the store is lost they are read again. Raises Unavailable when the node is stopping.
        """
        again = asks_again(run, how)
        if again is None:
            return how, said
        while True:
            try:
                questions = await questions_again(self._graphs[run.graph], self._checkpoints.saver, run)
                break
            except Exception as exc:
                if not isinstance(exc, Unavailable) and graph_end(exc) is not GraphEnd.STORE_LOST:
                    log.exception("the questions of a run could not be read again: run_id=%s", run.run_id)
                    return how, said
                if self._stopping.is_set():
                    raise Unavailable(str(exc)) from exc
                await asyncio.sleep(FINISH_AGAIN_S)
        return (again, Questions(questions)) if questions else (how, said)

    async def _finish(
        self,
        run: ClaimedRun,
        how: Finish,
        said: Said,
        last: Sequence[Batch],
        bells: Sequence[str],
        saver: AttemptSaver,
    ) -> RunFinished:
        """Write the final entry, with the last batches.

        Without a reply from Redis it is written again: the script does it once. Raises LeaseLost, AnswerTooLarge,
        NotWritten; and Unavailable when the node is stopping.
        """
        data, interrupts = final_entry(run, how, said)
        while True:
            try:
                return await self._runs.finish_run(
                    run,
                    how.status,
                    data,
                    threads_kept=self._limits.threads_kept,
                    interrupts=interrupts,
                    moves=not how.asks_again,
                    last=last,
                    bells=bells,
                    carrier=saver.last_write,
                    adopted=saver.has_begun,
                )
            except Unwritten:
                try:
                    await saver.wait_for_last_write()
                except Exception as exc:
                    raise NotWritten(str(exc)) from exc
            except (Unavailable, StoreLost, RedisError) as exc:
                if self._stopping.is_set():
                    raise exc if isinstance(exc, Unavailable) else Unavailable(str(exc)) from exc
                await asyncio.sleep(FINISH_AGAIN_S)

    def _announce_end(self, run: ClaimedRun, status: RunStatus, retired: list[str]) -> None:
        self._on_ended(status)
        if status == RunStatus.INTERRUPTED:
            self._tell(TraceKind.ASKED, run)
        self._tell(TraceKind.RUN_ENDED, run, status=status)
        if retired:
            self._retired.add(run.conversation_id, retired)

    async def _claim_again(self, run: ClaimedRun, over: asyncio.Event, decision: TryAgain) -> Next:
        """After a pause, claim the next attempt, or the run that is first by then."""
        # The lease is kept meanwhile, so that no other node makes the next attempt without the pause.
        flags = [asyncio.create_task(over.wait()), asyncio.create_task(self._stopping.wait())]
        pause_s = decision.pause_s * random.uniform(0.8, 1.2)
        try:
            await asyncio.wait(flags, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                return await self._hand_over(run)
            failed = run.run_id if decision.failed else ""
            claimed = await self._runs.claim_run(run.conversation_id, holding=run.token, failed=failed)
        finally:
            self._leases.release_lease(run)
            await end_tasks(flags)
        return claimed if isinstance(claimed, ClaimedRun) else None

    async def _hand_over(self, run: ClaimedRun) -> HandedOver | None:
        """Give up the lease of an unfinished run, and ring its bell, so that another node claims it at once."""
        self._leases.release_lease(run)
        with contextlib.suppress(Unavailable, LeaseLost):
            await self._runs.hand_over_run(run)
            return HandedOver()
        return None

    async def _retire_thread(self, run: ClaimedRun) -> None:
        """Have the thread of a lost attempt deleted, and say that its node lives, also when Redis was away."""
        while True:
            try:
                await self._runs.retire_thread(run)
                break
            except Unavailable:
                if self._stopping.is_set():
                    break
                await asyncio.sleep(RETIRE_AGAIN_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside the runs; `settle` waits for it."""
        task = asyncio.create_task(work)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _tell(self, kind: TraceKind, run: ClaimedRun, **fields: Any) -> None:
        self._trace.record(kind, **_about(run), **fields)


def _about(run: ClaimedRun) -> dict[str, Any]:
    """Which attempt it is, for the trace."""
    return {
        **{"conversation_id": run.conversation_id, "run_id": run.run_id, "attempt": run.attempt},
        **{"epoch": run.epoch, "input_seq": run.input_seq, "graph": run.graph},
    }


def _graph_end(error: BaseException, run: ClaimedRun) -> GraphEnd:
    """How a graph has ended whose work ended in this error, which is logged."""
    end = graph_end(error)
    if end in (GraphEnd.RAISED, GraphEnd.NOT_TEXT):
        log.error("a graph failed: run_id=%s attempt=%d", run.run_id, run.attempt, exc_info=error)
    else:
        log.warning("a graph did not end: run_id=%s end=%s error=%s", run.run_id, end, error)
    return end


async def _write_rest(saver: AttemptSaver, patience_s: float) -> None:
    """Write what finished nodes have given to the saver; what cannot be written the next attempt does again."""
    if saver.holds:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(patience_s):
                await saver.flush()


def _graph_ended(graph: asyncio.Task[tuple[GraphEnd, Said]], run: ClaimedRun) -> tuple[GraphEnd | None, Said]:
    """How the graph has ended, or None. Nobody else has cancelled it so far: it has done so itself."""
    if not graph.done():
        return None, None
    if graph.cancelled() or graph.exception() is not None:
        error = None if graph.cancelled() else graph.exception()
        log.error("a graph cancelled itself: run_id=%s attempt=%d", run.run_id, run.attempt, exc_info=error)
        return GraphEnd.RAISED, None
    return graph.result()


def _stream_ended(pump: asyncio.Task[None], run: ClaimedRun) -> StreamEnd | None:
    """How the stream has ended before it was told to, or None."""
    if not pump.done() or (not pump.cancelled() and pump.exception() is None):
        return None
    error = asyncio.CancelledError() if pump.cancelled() else pump.exception()
    assert error is not None
    end = stream_end(error)
    if end is StreamEnd.BROKEN:
        log.error("a run's text could not be shown: run_id=%s attempt=%d", run.run_id, run.attempt, exc_info=error)
    return end

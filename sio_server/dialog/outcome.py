"""What the end of an attempt means for its run: the decision, plain data in and plain data out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sio_server.protocol.run import RunStatus

MAX_ATTEMPTS = 20  # a run that ends so many nodes, or loses the store so often, is ended as failed
NODES_LOST = 2  # a run that has ended so many nodes at the same step is not given to another
NODES_LOST_SHARED = 3  # the same when it may have been another run that ended the last of them
BACK_OFF_S = 0.5  # before the second attempt at a graph that failed; then doubled
MAX_DOUBLINGS = 3  # of the pause after an attempt that failed through no fault of the graph


class GraphEnd(StrEnum):
    """How the graph of an attempt has ended."""

    ANSWERED = "answered"
    ASKED = "asked"  # it waits for the answers to its interrupts
    RAISED = "raised"  # an error of its own, whatever its class; or it cancelled itself
    TIMED_OUT = "timed_out"
    NO_ANSWER = "no_answer"
    NOT_TEXT = "not_text"  # it said something that no store can keep
    GRAPH_CHANGED = "graph_changed"  # it has no longer what the question, or the unfinished run, needs
    NODE_LOST = "node_lost"  # it has ended nodes at this step, and was not started again
    TOO_MANY_STEPS = "too_many_steps"
    UNKNOWN_GRAPH = "unknown_graph"  # this server has no graph of that name
    TOO_MANY_ATTEMPTS = "too_many_attempts"  # it was not started again
    STORE_LOST = "store_lost"  # Redis could not be reached, or could not write
    LEASE_LOST = "lease_lost"  # a write of the graph or its checkpointer was refused


class StreamEnd(StrEnum):
    """How the stream of an attempt has ended before its graph."""

    BROKEN = "broken"  # an error of its own
    LEASE_LOST = "lease_lost"


@dataclass(frozen=True)
class AttemptEnd:
    """What has come about when the first of these does; several may come at once."""

    graph: GraphEnd | None = None
    stream: StreamEnd | None = None
    run_over: bool = False  # the lease is lost, or the run was ended by a member
    node_stopping: bool = False


@dataclass(frozen=True)
class Tries:
    """How often the run has been tried, and on which graph."""

    graph: str
    attempt: int  # 1 for the first
    failures: int  # attempts before this one that ended in an error of the graph
    failures_allowed: int  # at the last of these the run fails
    timeout_s: float  # of one attempt


@dataclass(frozen=True)
class Finish:
    """Write the run's final entry. `code` and `reason` (for people) are those of a failed run."""

    status: RunStatus
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class TryAgain:
    """Make another attempt under the same lease, after a pause. `failed`: this one counts as a failure."""

    failed: bool
    pause_s: float


@dataclass(frozen=True)
class HandOver:
    """Give up the lease, so that another node continues at once."""


@dataclass(frozen=True)
class Abandon:
    """The run is another node's now, or has ended: nothing more may be written for it."""


Decision = Finish | TryAgain | HandOver | Abandon


def too_many(attempt: int) -> bool:
    """Whether a run has been tried so often that this attempt only ends it."""
    return attempt > MAX_ATTEMPTS


def has_ended_nodes(lost: int, *, shared: bool) -> bool:
    """Whether a run has ended so many nodes at the same step, one after another, that it is not started again.

    `shared`: when the last of them ended, other suspects had been at work on it for a while.
    """
    return lost >= (NODES_LOST_SHARED if shared else NODES_LOST)


def decide(end: AttemptEnd, tries: Tries) -> Decision:
    """What is to be done after an attempt.

    The graph's own end comes first: its final entry is fenced, so Redis decides whether it comes in time. A run
    that is over is neither tried again nor handed over.
    """
    if end.graph is not None:
        decision = _after_graph(end.graph, tries)
    elif end.run_over or end.stream is StreamEnd.LEASE_LOST:
        decision = Abandon()
    elif end.stream is StreamEnd.BROKEN:
        decision = _after_failure(tries, "what the agent said could not be shown")
    else:
        decision = HandOver()
    if isinstance(decision, TryAgain):
        if end.run_over:
            return Abandon()
        if end.node_stopping:
            return HandOver()
    return decision


def _after_graph(end: GraphEnd, tries: Tries) -> Decision:
    match end:
        case GraphEnd.ANSWERED:
            return Finish(RunStatus.ANSWERED)
        case GraphEnd.ASKED:
            return Finish(RunStatus.INTERRUPTED)
        case GraphEnd.RAISED:
            times = "once" if tries.failures == 0 else f"{tries.failures + 1} times"
            return _after_failure(tries, f"the agent tried {times} and could not answer")
        case GraphEnd.TIMED_OUT:
            return _failed("timeout", f"the agent did not answer within {tries.timeout_s:g} s")
        case GraphEnd.NO_ANSWER:
            return _failed("no_answer", "the agent gave no answer")
        case GraphEnd.NOT_TEXT:
            return _failed("graph_failed", "the agent said something that is not text")
        case GraphEnd.GRAPH_CHANGED:
            return _failed("graph_changed", "the agent was changed meanwhile and cannot continue: send it again")
        case GraphEnd.NODE_LOST:
            return _failed("node_lost", "the agent ended the nodes on which it worked at this step")
        case GraphEnd.TOO_MANY_STEPS:
            return _failed("too_many_steps", "the agent took too many steps without an answer")
        case GraphEnd.UNKNOWN_GRAPH:
            return _failed("unknown_graph", f"this server has no agent {tries.graph!r}")
        case GraphEnd.TOO_MANY_ATTEMPTS:
            return _failed("interrupted_too_often", "the agent was interrupted too often")
        case GraphEnd.STORE_LOST:
            # Not the graph's fault. With the last attempt the next one ends the run.
            return TryAgain(failed=False, pause_s=BACK_OFF_S * 2 ** min(tries.attempt - 1, MAX_DOUBLINGS))
        case GraphEnd.LEASE_LOST:
            return Abandon()


def _after_failure(tries: Tries, reason: str) -> Decision:
    if tries.failures + 1 < tries.failures_allowed:
        return TryAgain(failed=True, pause_s=BACK_OFF_S * 2**tries.failures)
    return _failed("graph_failed", reason)


def _failed(code: str, reason: str) -> Finish:
    return Finish(RunStatus.FAILED, code, reason)

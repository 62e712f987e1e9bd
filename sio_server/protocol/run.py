"""The life of a run: one execution of the graph for one message."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands. The last four are final: the run's one final entry is in the log."""

    PENDING = "pending"
    RUNNING = "running"
    ANSWERED = "answered"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    FAILED = "failed"


FINAL = frozenset({RunStatus.ANSWERED, RunStatus.INTERRUPTED, RunStatus.STOPPED, RunStatus.FAILED})

# A running run may be taken again (RUNNING -> RUNNING) when its node died: the attempt counts up.
_NEXT: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.STOPPED}),
    RunStatus.RUNNING: FINAL | {RunStatus.RUNNING},
}


class IllegalTransition(ValueError):
    """A run cannot go from one status to the other."""


def transition(current: RunStatus, new: RunStatus) -> RunStatus:
    """Return `new` when a run may go there from `current`; otherwise raise IllegalTransition."""
    if new not in _NEXT.get(current, frozenset()):
        raise IllegalTransition(f"a run that is {current} cannot become {new}")
    return new


def final_entry_type(status: RunStatus) -> str:
    """The type of the entry that ends a run with this status."""
    types = {
        RunStatus.ANSWERED: "answer",
        RunStatus.INTERRUPTED: "interrupt",
        RunStatus.STOPPED: "stopped",
        RunStatus.FAILED: "failed",
    }
    return types[status]

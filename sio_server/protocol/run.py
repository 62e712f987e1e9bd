"""The life of a run: one execution of the graph for one message, or for the answers to its questions."""

from __future__ import annotations

import re
from enum import StrEnum

AGENT_PREFIX = "agent:"  # ids of agents; no token may carry such a user id


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


def agent_id(graph: str) -> str:
    """The user id under which a graph speaks."""
    return AGENT_PREFIX + graph


def agent_name(graph: str) -> str:
    """The name people see: `support_agent` is Support Agent."""
    return re.sub(r"[_.:-]+", " ", graph).strip().title() or graph

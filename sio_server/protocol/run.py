"""The statuses of a run, one execution of the graph for a message or for the answers to its questions."""

from __future__ import annotations

import re
from enum import StrEnum

AGENT_PREFIX = "agent:"  # ids of agents; no token may carry such a user id
SERVICE_PREFIX = "service:"  # ids of services, which use the API with a key of theirs; no token may carry one
RESERVED_PREFIXES = (AGENT_PREFIX, SERVICE_PREFIX)


class RunStatus(StrEnum):
    """Where a run stands. The last four are final: the run's one final entry is in the log."""

    QUEUED = "queued"
    RUNNING = "running"
    STALLED = "stalled"
    ANSWERED = "answered"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    FAILED = "failed"


FINAL = frozenset({RunStatus.ANSWERED, RunStatus.INTERRUPTED, RunStatus.STOPPED, RunStatus.FAILED})

# Where a run may go from each status (None: it is not on record yet). The scripts do just these.
# A running run is stalled while its node is silent, claimed again when that has died, and queued again when its
# node has handed it over.
TRANSITIONS: dict[RunStatus | None, frozenset[RunStatus]] = {
    None: frozenset({RunStatus.QUEUED}),
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.STOPPED}),
    RunStatus.RUNNING: FINAL | {RunStatus.RUNNING, RunStatus.STALLED, RunStatus.QUEUED},
    RunStatus.STALLED: FINAL | {RunStatus.RUNNING, RunStatus.QUEUED},
    **dict.fromkeys(FINAL, frozenset[RunStatus]()),
}


_FINAL_ENTRY_TYPES = {
    RunStatus.ANSWERED: "answer",
    RunStatus.INTERRUPTED: "interrupt",
    RunStatus.STOPPED: "stopped",
    RunStatus.FAILED: "failed",
}
# The status of a run that ended with an entry of this type.
ENDED_BY = {entry_type: status for status, entry_type in _FINAL_ENTRY_TYPES.items()}


def final_entry_type(status: RunStatus) -> str:
    """The type of the entry that ends a run with this status. Raises KeyError for one that is not final."""
    return _FINAL_ENTRY_TYPES[status]


def agent_id(graph: str) -> str:
    """The user id under which a graph speaks."""
    return AGENT_PREFIX + graph


def agent_name(graph: str) -> str:
    """The name people see: `support_agent` is Support Agent."""
    return re.sub(r"[_.:-]+", " ", graph).strip().title() or graph

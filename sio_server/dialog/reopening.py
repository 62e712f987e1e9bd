"""Asks the questions of a run again when the graph could not use the answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.types import Interrupt

from sio_server.conversation.runs import ClaimedRun
from sio_server.dialog.breakpoints import BREAKPOINT, Graph, breakpoint_question, nodes_ahead
from sio_server.dialog.outcome import Finish
from sio_server.dialog.savers.store import Saver
from sio_server.dialog.threads import read_tip
from sio_server.protocol.run import RunStatus

REASONS = {
    "graph_failed": "the agent could not continue with this answer",
    "timeout": "the agent did not continue with this answer in time",
}  # what is told of a failed run that asks again, by the code with which it would fail otherwise

# LangGraph's names of what is written for a task that has not ended; `__no_writes__` is of one that has.
_OF_UNFINISHED_TASKS = ("__interrupt__", "__resume__", "__error__")


def asks_again(run: ClaimedRun, how: Finish) -> Finish | None:
    """How a run ends that has failed with the answers that it was given, or None."""
    if run.kind != "resume" or how.status is not RunStatus.FAILED or how.code not in REASONS:
        return None
    return Finish(RunStatus.INTERRUPTED, reason=REASONS[how.code])


async def questions_again(graph: Graph, saver: Saver, run: ClaimedRun) -> list[Interrupt]:
    """The questions that this run has answered; none when the answers have brought the graph any further.

    What was done since they were asked must not be done twice, so there is no way back then.
    """
    asked = await read_tip(saver, run.began_from, subgraphs=True)
    known, had_ended = {item.checkpoint["id"] for item in asked}, _ended_tasks(asked)
    for thread_id in {run.thread_id, run.source}:
        latest = await read_tip(saver, thread_id, subgraphs=True)
        if any(item.checkpoint["id"] not in known for item in latest) or _ended_tasks(latest) - had_ended:
            return []
    if BREAKPOINT in run.answers:
        state = await graph.aget_state({"configurable": {"thread_id": run.began_from}}, subgraphs=True)
        return [breakpoint_question(nodes_ahead(state))]
    return [one for one in _interrupts_of(asked[-1:]) if one.id in run.answers]


def _ended_tasks(latest: Sequence[CheckpointTuple]) -> set[str]:
    """Ids of the tasks that have done their work in a step that has not ended, and so has no checkpoint yet."""
    return {
        task_id
        for item in latest
        for task_id, channel, _ in item.pending_writes or ()
        if channel not in _OF_UNFINISHED_TASKS
    }


def _interrupts_of(latest: Sequence[CheckpointTuple]) -> list[Interrupt]:
    """The interrupts that the checkpoints hold; the root's are those of its subgraphs too."""
    found: dict[str, Any] = {}
    for item in latest:
        for _, channel, value in item.pending_writes or ():
            if channel == "__interrupt__":
                found |= {one.id: one for one in (value if isinstance(value, (list, tuple)) else [value])}
    return list(found.values())

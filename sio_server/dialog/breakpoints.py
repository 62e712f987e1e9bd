"""Static breakpoints (`interrupt_before`, `interrupt_after`): where a graph has stopped, as a question to people.

LangGraph stops there without asking anything, and passes the breakpoint when it is called again. So an attempt
that continues from the checkpoints of an earlier one first checks whether that one had come to a breakpoint that
nobody has been asked about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.pregel import Pregel
from langgraph.types import Interrupt, StateSnapshot

from sio_server.dialog.attempt_saver import AttemptSaver

Graph = Pregel[Any, Any, Any, Any]

BREAKPOINT = "breakpoint"  # the id of the question, which the graph itself does not know
CONTINUE = "continue"  # its only answer


def breakpoint_question(nodes: Sequence[str]) -> Interrupt:
    """The question whether to continue with these nodes."""
    text = f"Continue with {', '.join(nodes)}?"
    options = [{"value": CONTINUE, "label": "Continue"}]
    return Interrupt({"kind": "approval", "text": text, "options": options}, id=BREAKPOINT)


def nodes_ahead(state: StateSnapshot) -> list[str]:
    """The nodes that a graph continues with, inside its subgraphs where these have stopped; none at its end."""
    names: list[str] = []
    for task in state.tasks:
        inner = nodes_ahead(task.state) if isinstance(task.state, StateSnapshot) else []
        names += inner or [task.name]
    return list(dict.fromkeys(names))


async def unasked_breakpoint(
    graph: Graph,
    saver: AttemptSaver,
    config: Any,
    copied: Sequence[CheckpointTuple],
    start: Sequence[CheckpointTuple],
) -> list[str]:
    """The nodes ahead if the graph stands at a breakpoint that was reached in this run; otherwise nothing.

    `copied` are the checkpoints that this attempt begins from, `start` those from which the run began: a
    breakpoint there has been answered.
    """
    every: list[Any] = [graph, *(inner for _, inner in graph.get_subgraphs(recurse=True))]
    if not any(one.interrupt_before_nodes or one.interrupt_after_nodes for one in every):
        return []
    passed = {item.checkpoint["id"] for item in start}
    reached = [item for item in copied if item.checkpoint["id"] not in passed]
    state = await graph.aget_state(config, subgraphs=True)
    return nodes_ahead(state) if await _stands_at_one(graph, saver, state, reached) else []


async def _stands_at_one(
    graph: Any, saver: AttemptSaver, state: StateSnapshot, reached: Sequence[CheckpointTuple]
) -> bool:
    for item in reached:
        if item.checkpoint["id"] == state.config["configurable"].get("checkpoint_id") and state.tasks:
            if any(_is_named(task.name, graph.interrupt_before_nodes) for task in state.tasks):
                return True
            if graph.interrupt_after_nodes:
                ran = await _nodes_before(saver, item)
                if any(_is_named(name, graph.interrupt_after_nodes) for name in ran):
                    return True
    for task in state.tasks:
        if isinstance(task.state, StateSnapshot):
            for _, inner in graph.get_subgraphs(namespace=task.name):
                if await _stands_at_one(inner, saver, task.state, reached):
                    return True
    return False


def _is_named(node: str, names: Any) -> bool:
    return not node.startswith("__") if names == "*" else node in names


async def _nodes_before(saver: AttemptSaver, item: CheckpointTuple) -> list[str]:
    """The nodes whose step has made a checkpoint: those that have seen more than in the checkpoint before it."""
    if item.metadata.get("source") == "input":
        return []
    before = await saver.aget_tuple(item.parent_config) if item.parent_config else None
    # When it is not known, all of the graph's nodes may have: to ask once more is better than not to ask.
    known = before.checkpoint["versions_seen"] if before else {}
    return [name for name, seen in item.checkpoint["versions_seen"].items() if seen != known.get(name)]

"""Whether a graph still has what an unfinished run needs: it may have been changed between two starts of a node.

LangGraph ignores what an unknown node would have done next, and so ends such a run at once, as if it were
finished.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.pregel import Pregel
from langgraph.types import Send

# LangGraph's names of the channels that start nodes, and of the writes that ask.
_TO_NODE = "branch:to:"
_JOIN = "join:"
_SENDS = "__pregel_tasks"
_INTERRUPT = "__interrupt__"


class GraphChanged(Exception):
    """The graph has no longer what the question, or the rest of the run, needs."""


def check_unchanged(graph: Pregel[Any, Any, Any, Any], latest: Collection[CheckpointTuple]) -> None:
    """Raise GraphChanged when the graph could not continue from these checkpoints, its own and its subgraphs'."""
    graphs: dict[str, Pregel[Any, Any, Any, Any]] = {"": graph}
    inner = graph.get_subgraphs(recurse=True)
    graphs.update((name, one) for name, one in inner if isinstance(one, Pregel))
    for item in latest:
        namespace = item.config["configurable"].get("checkpoint_ns", "")
        place = "|".join(part.partition(":")[0] for part in namespace.split("|"))
        known = graphs.get(place)  # a subgraph that a function calls may not be known
        missing = sorted(set(_missing(item, known))) if known is not None else []
        if missing:
            where = f" in {place}" if place else ""
            raise GraphChanged(f"the graph{where} no longer has {', '.join(missing)}")


def check_question(latest: Collection[CheckpointTuple], tasks: Collection[str]) -> None:
    """Raise GraphChanged when none of `tasks`, ids that the graph would continue with, asked an open question."""
    root = next((item for item in latest if not item.config["configurable"].get("checkpoint_ns")), None)
    asked = {task for task, channel, _ in (root.pending_writes or () if root else ()) if channel == _INTERRUPT}
    if not asked.issubset(tasks):
        raise GraphChanged("the graph no longer has the step that asked")


def _missing(item: CheckpointTuple, graph: Pregel[Any, Any, Any, Any]) -> Iterator[str]:
    """The nodes that would be next by the checkpoint, and that the graph does not have."""
    checkpoint = item.checkpoint
    seen, versions = checkpoint["versions_seen"], checkpoint["channel_versions"]
    for channel, value in checkpoint["channel_values"].items():
        if channel == _SENDS:
            yield from (sent.node for sent in _sends(value) if sent.node not in graph.nodes)
        elif channel not in graph.channels and (node := _started_by(channel)):
            waits = value if channel.startswith(_JOIN) else True
            if waits and versions.get(channel) != seen.get(node, {}).get(channel):
                yield node
    for _, channel, value in item.pending_writes or ():
        if channel == _SENDS and isinstance(value, Send) and value.node not in graph.nodes:
            yield value.node
        elif channel not in graph.channels and (node := _started_by(channel)):
            yield node


def _started_by(channel: str) -> str:
    """The node that a channel of this name starts, or an empty string."""
    if channel.startswith(_TO_NODE):
        return channel.removeprefix(_TO_NODE)
    return channel.rpartition(":")[2] if channel.startswith(_JOIN) else ""


def _sends(value: Any) -> list[Send]:
    return [sent for sent in value if isinstance(sent, Send)] if isinstance(value, (list, tuple)) else []

"""Which checkpoints of a thread are needed: what can be resumed, and what the kept ones are built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from langgraph.checkpoint.base import CheckpointMetadata


class Header(NamedTuple):
    """What a checkpoint says of itself without its values."""

    namespace: str
    id: str
    parent: str
    metadata: CheckpointMetadata

    @property
    def field(self) -> str:
        return f"{self.namespace}\0{self.id}"


def can_be_resumed(namespace: str, parents: Mapping[str, str], root_id: str) -> bool:
    """Whether a subgraph's checkpoint can be entered from this one of the root.

    A `:` stands before the id of a task, and that is made of the ids of the checkpoints above. Each run of a
    subgraph leaves such a namespace behind, which is of no use when the root has gone on.
    """
    return ":" not in namespace or parents.get("") == root_id


def needed_fields(headers: Sequence[Header], keep: int) -> set[str]:
    """The fields of the checkpoints to be kept of these, which are in the order of their writing."""
    known = {header.field: header for header in headers}
    by_namespace: dict[str, list[str]] = {}
    for header in headers:
        by_namespace.setdefault(header.namespace, []).append(header.field)
    last = {field for fields in by_namespace.values() for field in fields[-keep:]}
    needed: set[str] = set()
    for field in last:
        header = known[field]
        # A `:` stands before the id of a task, and that is made of the ids of the checkpoints above: the
        # namespace can be entered from these only.
        above = [f"{ns}\0{i}" for ns, i in header.metadata.get("parents", {}).items() if ns in by_namespace]
        if ":" in header.namespace and not last.issuperset(above):
            continue
        needed.add(field)
        # A delta channel is put together from the writes of all checkpoints since its last snapshot.
        counters = header.metadata.get("counters_since_delta_snapshot") or {}
        for _ in range(max((steps for _, steps in counters.values()), default=0)):
            ancestor = known.get(f"{header.namespace}\0{header.parent}")
            if ancestor is None:
                break
            needed.add(ancestor.field)
            header = ancestor
    return needed

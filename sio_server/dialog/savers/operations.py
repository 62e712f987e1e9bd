"""What is written to a thread of checkpoints: a checkpoint, or what a task has written to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata


@dataclass(frozen=True)
class Put:
    """A checkpoint, as `aput` takes it."""

    config: RunnableConfig
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    new_versions: ChannelVersions

    @property
    def checkpoint_id(self) -> str:
        return self.checkpoint["id"]

    @property
    def stands_alone(self) -> bool:
        """Whether nothing that was written to its namespace before is needed to read it, or what follows.

        The value of a DeltaChannel is put together from ancestors, unless all are snapshots.
        """
        return not self.metadata.get("counters_since_delta_snapshot")


@dataclass(frozen=True)
class Writes:
    """What a task has written to the checkpoint that the config names, as `aput_writes` takes it."""

    config: RunnableConfig
    writes: Sequence[tuple[str, Any]]
    task_id: str
    task_path: str = ""

    @property
    def checkpoint_id(self) -> str:
        return str(self.config["configurable"]["checkpoint_id"])


Operation = Put | Writes


def namespace_of(operation: Operation) -> str:
    """The namespace that is written to: empty for the graph itself, else that of a subgraph."""
    return str(operation.config["configurable"].get("checkpoint_ns", ""))

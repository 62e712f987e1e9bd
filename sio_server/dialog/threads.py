"""Threads of checkpoints: each attempt at a run has its own, which begins as a copy of the latest checkpoints.

An owner that was paused and wakes, or any other that lost its lease, can write to its own thread only. The run's
record and the conversation name the thread that counts; only fenced scripts write them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointMetadata, CheckpointTuple, empty_checkpoint

from sio_server.conversation.runs import ClaimedRun
from sio_server.dialog.attempt_saver import AttemptSaver
from sio_server.dialog.person import person_fields
from sio_server.dialog.savers.store import Saver

# The metadata that names the run to the graph.
RUN = "roomgraph_run"

# LangGraph's names of two kinds of writes, as checkpointers see them.
_INTERRUPT = "__interrupt__"
_RESUME = "__resume__"

# The task that has written what is copied of a DeltaChannel's history.
_COPIED = "00000000-0000-0000-0000-0000000000c0"

_NONE = -2  # the step before the first checkpoint


@dataclass(frozen=True)
class Tip:
    """The latest checkpoints of a thread: the graph's own and those of its subgraphs."""

    root: CheckpointTuple | None = None
    resumes: dict[tuple[str, str], int] = field(default_factory=dict)  # (namespace, task) -> answers it has used
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)  # interrupt id -> the task that raised it

    def is_beyond(self, start: Tip) -> bool:
        """Whether an earlier attempt has brought the graph further, if only by reading the message.

        Not every checkpointer keeps metadata of ours, but all keep the ids of checkpoints.
        """
        if self.root is None:
            return False
        return start.root is None or self.root.checkpoint["id"] != start.root.checkpoint["id"]

    @property
    def step(self) -> int:
        """LangGraph's number of the checkpoint: it counts through the dialog, and is -1 for the first input."""
        return int(self.root.metadata.get("step", _NONE)) if self.root else _NONE

    def unused(self, answers: dict[str, Any], asked: Tip) -> dict[str, Any]:
        """Those answers that no earlier attempt has given to the graph.

        A node of the graph would take an answer given twice for the answer to its next question.
        """
        return {
            interrupt_id: value
            for interrupt_id, value in answers.items()
            if (task := asked.asked.get(interrupt_id)) is None
            or self.resumes.get(task, 0) <= asked.resumes.get(task, 0)
        }


def config_of(run: ClaimedRun) -> RunnableConfig:
    """How the graph is called in this attempt.

    The run's id is metadata only: with `run_id` in `configurable` LangGraph ignores the input. Tracing shows the
    metadata: `thread_id` and `session_id` name the conversation there, so that its turns, and all attempts at
    them, are shown together, while `thread_id` in `configurable` is the attempt's own thread of checkpoints.
    """
    configurable: dict[str, Any] = {
        **person_fields(run),
        "thread_id": run.thread_id,
        "conversation_id": run.conversation_id,
        "fencing_token": run.token,
    }
    metadata: dict[str, Any] = {
        RUN: run.run_id,
        "attempt": run.attempt,
        "thread_id": run.conversation_id,
        "session_id": run.conversation_id,
        "langfuse_session_id": run.conversation_id,
    }
    if run.person is not None:
        metadata["user_id"] = metadata["langfuse_user_id"] = run.person["user_id"]
    return {"configurable": configurable, "metadata": metadata, "run_name": run.graph}


async def read_tip(saver: Saver | AttemptSaver, thread_id: str, *, subgraphs: bool) -> list[CheckpointTuple]:
    """The latest checkpoint of the root, preceded by those of the subgraphs that can be entered again."""

    async def latest(namespace: str) -> CheckpointTuple | None:
        # One by one: the latest is the one written last, whatever the clocks in the ids say.
        return await saver.aget_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}})

    root = await latest("")
    if root is None:
        return []
    namespaces = await saver.subgraphs(thread_id, root.checkpoint["id"]) if subgraphs else set()
    inner = [await latest(namespace) for namespace in sorted(namespaces, reverse=True)]
    return [*(item for item in inner if item is not None), root]


def tip_of(latest: list[CheckpointTuple]) -> Tip:
    """What is needed to continue from these checkpoints."""
    resumes: dict[tuple[str, str], int] = {}
    asked: dict[str, tuple[str, str]] = {}
    for item in latest:
        namespace = item.config["configurable"].get("checkpoint_ns", "")
        for task_id, channel, value in item.pending_writes or ():
            if channel == _RESUME:
                resumes[namespace, task_id] = len(value) if isinstance(value, list) else 1
            elif channel == _INTERRUPT:
                for interrupt in value:
                    # A subgraph's interrupt is raised by its own task and by the task the subgraph is: the inner
                    # one, in the longer namespace, is the one that uses the answer.
                    known = asked.get(interrupt.id)
                    if known is None or len(known[0]) < len(namespace):
                        asked[interrupt.id] = (namespace, task_id)
    return Tip(latest[-1] if latest else None, resumes, asked)


async def copy_tip(
    saver: Saver | AttemptSaver,
    run: ClaimedRun,
    *,
    whole: bool,
    subgraphs: bool,
    change: Callable[[list[CheckpointTuple]], list[CheckpointTuple]] = list,
    latest: list[CheckpointTuple] | None = None,
) -> list[CheckpointTuple]:
    """Begin the attempt's thread with the latest checkpoints of its source; return what was copied.

    `whole`: with what the tasks of the last step have written, so that it can continue in the middle of a step.
    Ids are kept, since the names of tasks are made from them. The copy needs nothing of its source. `change` gives
    what is written instead. `latest`: these checkpoints, where they have been read already.
    """
    if latest is None:
        latest = await read_tip(saver, run.source, subgraphs=subgraphs)
    latest = change(latest)
    for item in latest:
        target = config_of(run)
        target["configurable"]["checkpoint_ns"] = item.config["configurable"].get("checkpoint_ns", "")
        parent = await _copy_history(saver, item, target)
        stored = await saver.aput(parent, item.checkpoint, item.metadata, item.checkpoint["channel_versions"])
        if not whole or not item.pending_writes:
            continue
        stored["configurable"]["fencing_token"] = run.token
        paths = await saver.task_paths(item.config)
        tasks: dict[str, list[tuple[str, Any]]] = {}
        for task_id, channel, value in item.pending_writes:
            tasks.setdefault(task_id, []).append((channel, value))
        for task_id, writes in tasks.items():
            await saver.aput_writes(stored, writes, task_id, paths.get(task_id, ""))
    return latest


async def _copy_history(
    saver: Saver | AttemptSaver, item: CheckpointTuple, target: RunnableConfig
) -> RunnableConfig:
    """Copy what a checkpoint's DeltaChannels are made from; return the config to write it with.

    The value of a DeltaChannel lies in a snapshot in some ancestor and in the writes of all ancestors since. In
    the copy one checkpoint, the parent, has both. No value is computed: that would need the channel's reducer,
    and a subgraph that a tool calls cannot be found.
    """
    checkpoint, metadata = item.checkpoint, item.metadata
    values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
    channels = [
        name
        for name in metadata.get("counters_since_delta_snapshot") or ()
        if name in versions and name not in values
    ]
    if not channels or item.parent_config is None:
        return target
    history = await saver.aget_delta_channel_history(config=item.config, channels=channels)
    seeds = {name: past["seed"] for name, past in history.items() if "seed" in past}
    no_channel: Any = None
    parent = empty_checkpoint()
    parent["id"] = item.parent_config["configurable"]["checkpoint_id"]
    parent["channel_values"] = seeds
    parent["channel_versions"] = {name: saver.get_next_version(None, no_channel) for name in seeds}
    about: CheckpointMetadata = {
        "source": "loop",
        "step": metadata.get("step", 0) - 1,
        "parents": metadata.get("parents", {}),
    }
    stored = await saver.aput(target, parent, about, parent["channel_versions"])
    stored["configurable"]["fencing_token"] = target["configurable"]["fencing_token"]
    writes = [(name, value) for name, past in history.items() for _, _, value in past["writes"]]
    if writes:
        await saver.aput_writes(stored, writes, _COPIED)
    return stored

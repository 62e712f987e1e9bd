"""The saver of one attempt: its writes share round trips, and what nothing can be resumed from is left out.

The thread of an attempt has one writer, so what is in it is known here: it begins as a copy that this node has
just read, and what has not been written is not there. See docs/decisions/0024-round-trips-of-a-turn.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    copy_checkpoint,
    get_checkpoint_id,
)
from langgraph.graph import START
from langgraph.pregel import Pregel

from sio_server.conversation.runs import Carrier, ClaimedRun, Unwritten
from sio_server.dialog.savers.operations import Operation, Put, Writes, namespace_of
from sio_server.dialog.savers.plain import PlainRedisSaver
from sio_server.dialog.savers.store import Saver
from sio_server.store.keys import checkpoint_keys

TASKS = "__pregel_tasks"  # LangGraph's name of the channel whose values begin nodes (`Send`)

# In which LangGraph comes from the end of a step's last task to the checkpoint of the step.
LOOP_TURNS = 6
# What waits for what follows it is written after this time in any case.
HELD_S = 0.02

Adopt = Callable[[str, Carrier | None], Awaitable[None]]


@dataclass(eq=False)
class _Pending:
    """An operation that is to be written; `done` where someone waits for it."""

    operation: Operation
    done: asyncio.Future[None] | None = None

    def end(self, error: Exception | None = None) -> None:
        """It has been written, or not."""
        if self.done is None or self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # whoever flushes is told as well


class AttemptSaver(BaseCheckpointSaver[Any]):
    """A saver for one attempt at a run, on top of a node's saver; async, as that is.

    LangGraph's `durability="sync"` holds: a node begins when the checkpoint of the step before is in Redis, and
    the run's record says that it continues from this attempt's thread. The last checkpoint, which no node follows,
    is sent at once, and its reply is not waited for: the end of the run follows on the same connection, and
    depends on it (`last_write`). What a task has written waits for some turns of the event loop, for the
    checkpoint that makes it superfluous. Only the input, which can be taken in again without a node, waits longer:
    at most HELD_S.
    """

    def __init__(self, saver: Saver, run: ClaimedRun, adopt: Adopt) -> None:
        """`adopt(checkpoint_id, carrier)` is awaited once, when the graph is about to continue from there."""
        super().__init__(serde=saver.serde)
        self._saver = saver
        self._plain = saver if isinstance(saver, PlainRedisSaver) else None
        self._run = run
        self._adopt = adopt
        self._pending: list[_Pending] = []
        self._writing = asyncio.Lock()
        self._tips: dict[str, CheckpointTuple] = {}  # the copied checkpoints that nothing has been added to
        self._namespaces: set[str] = set()  # that have anything
        self._copying = True
        self._waits = False  # until the first step has a checkpoint
        self._drops = False  # checkpoints that others follow at once
        self._begun = False
        self._begins_at = ""
        self._triggers: Mapping[str, Sequence[str]] = {}  # channel -> nodes that begin when it is updated
        self._last: tuple[Put, asyncio.Task[None]] | None = None  # the last checkpoint, and its writing
        self._timer: asyncio.TimerHandle | None = None
        self._timed: asyncio.Task[None] | None = None

    async def begin(
        self, graph: Pregel[Any, Any, Any, Any], copied: Sequence[CheckpointTuple], *, whole: bool
    ) -> None:
        """Let the graph continue from what was copied to this saver; `whole` as for `copy_tip`.

        At a first message this is written with the first step that makes a checkpoint: no node is at work before.
        Raises what `adopt` raises.
        """
        run = self._run
        self._copying = False
        self._triggers = graph.trigger_to_nodes
        self._begins_at = copied[-1].checkpoint["id"] if copied else ""
        for item in copied:
            if not item.metadata.get("counters_since_delta_snapshot"):
                named = item.config["configurable"]
                namespace = named.get("checkpoint_ns", "")
                place = {
                    "thread_id": run.thread_id,
                    "checkpoint_ns": namespace,
                    "checkpoint_id": item.checkpoint["id"],
                }
                written = item.pending_writes if whole else []
                self._tips[namespace] = item._replace(
                    config={"configurable": place}, parent_config=None, pending_writes=written
                )
        is_first = run.kind == "message" and run.attempt == 1 and not run.lost
        self._waits = is_first and START in graph.nodes
        # A breakpoint is found by the checkpoint before it (`breakpoints.py`), a DeltaChannel's value by all.
        looks_back = graph.interrupt_before_nodes or graph.interrupt_after_nodes or _has_deltas(graph)
        self._drops = self._waits and not looks_back
        if not self._waits:
            await self.flush()

    @property
    def has_begun(self) -> bool:
        """Whether the run's record says that it continues from this thread."""
        return self._begun

    @property
    def holds(self) -> bool:
        """Whether something of a begun thread waits to be written."""
        return self._begun and (bool(self._pending) or self._writing.locked())

    @property
    def last_write(self) -> Carrier | None:
        """What sends a script behind the last checkpoint, on the same connection; None if that has arrived."""
        if self._last is None:
            return None
        put, writing = self._last
        if writing.done() and not writing.cancelled() and writing.exception() is None:
            return None
        return self._carrier_of([], put)

    async def wait_for_last_write(self) -> None:
        """Return when the last checkpoint is in Redis, or is the last no more: raises what its writing raises."""
        if self._last is not None:
            (_, writing), self._last = self._last, None
            await asyncio.shield(writing)

    async def flush(self) -> None:
        """Write all that waits, and record that the run continues from this thread."""
        await asyncio.shield(self._begin_flush())

    def _begin_flush(self) -> asyncio.Task[None]:
        # A task of its own: others wait for the same, whatever becomes of the one that has asked first.
        task = asyncio.create_task(self._flush())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _flush(self) -> None:
        async with self._writing:
            self._cancel_timer()
            pending, self._pending = _needed(self._pending, drops=self._drops and not self._begun), []
            try:
                await self._write([one.operation for one in pending])
            except Exception as exc:
                for one in pending:
                    one.end(exc)
                # What nobody waits for is tried again with what follows.
                self._pending[:0] = [one for one in pending if one.done is None]
                raise
            for one in pending:
                one.end()

    def _carrier_of(self, operations: Sequence[Operation], last: Put) -> Carrier:
        assert self._plain is not None
        keys = checkpoint_keys(self._run.thread_id)
        return Carrier(partial(self._plain.write_together, operations), keys.checkpoints, last.checkpoint_id)

    # What LangGraph and the dialog call

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        named = config["configurable"]
        if str(named["thread_id"]) == self._run.thread_id:
            namespace = named.get("checkpoint_ns", "")
            if not get_checkpoint_id(config):
                tip = self._tips.get(namespace)
                if tip is not None:
                    # LangGraph changes what it gets.
                    return tip._replace(checkpoint=copy_checkpoint(tip.checkpoint))
                if namespace not in self._namespaces:
                    return None
            await self._flush_if_pending()
        return await self._saver.aget_tuple(config)

    async def alist(self, config: RunnableConfig | None, **how: Any) -> AsyncIterator[CheckpointTuple]:
        await self._flush_if_pending()
        async for item in self._saver.alist(config, **how):
            yield item

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        await self._flush_if_pending()
        return await self._saver.aget_delta_channel_history(config=config, channels=channels)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        put = Put(config, checkpoint, metadata, new_versions)
        named = config["configurable"]
        namespace = namespace_of(put)
        self._note(namespace)
        if self._copying:
            self._pending.append(_Pending(put))
        elif not namespace and self._is_input(metadata):
            self._hold(put)
        elif not namespace and self._is_last(checkpoint):
            await self._send_last(put)
        else:
            await self._and_flush(put)
        place = {"thread_id": named["thread_id"], "checkpoint_ns": namespace, "checkpoint_id": checkpoint["id"]}
        return {"configurable": {**place, "fencing_token": self._run.token}}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        operation = Writes(config, writes, task_id, task_path)
        self._note(namespace_of(operation))
        if self._copying:
            self._pending.append(_Pending(operation))
            return
        pending = _Pending(operation, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        for _ in range(LOOP_TURNS):
            await asyncio.sleep(0)
            if pending not in self._pending:
                break
        await self._flush_for(pending)

    async def subgraphs(self, thread_id: str, root_id: str) -> set[str]:
        """As the node's saver has it."""
        return await self._saver.subgraphs(thread_id, root_id)

    async def task_paths(self, config: RunnableConfig) -> dict[str, str]:
        """As the node's saver has it."""
        return await self._saver.task_paths(config)

    def get_next_version(self, current: Any, channel: Any) -> Any:
        return self._saver.get_next_version(current, channel)

    # What a graph that is called in a thread uses, where the node's saver has it.

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._saver.get_tuple(config)

    def put(self, config: RunnableConfig, *what: Any) -> RunnableConfig:
        self._note(config["configurable"].get("checkpoint_ns", ""))
        return self._saver.put(config, *what)

    def put_writes(self, config: RunnableConfig, *what: Any) -> None:
        self._note(config["configurable"].get("checkpoint_ns", ""))
        self._saver.put_writes(config, *what)

    # When what is written

    def _note(self, namespace: str) -> None:
        self._namespaces.add(namespace)
        self._tips.pop(namespace, None)

    def _is_input(self, metadata: CheckpointMetadata) -> bool:
        """Whether a checkpoint is that of the input, which another follows before any node is at work."""
        return self._waits and not self._begun and metadata.get("source") == "input"

    def _is_last(self, checkpoint: Checkpoint) -> bool:
        """Whether the graph ends with a checkpoint: by LangGraph's own rule, nothing begins a node after it."""
        updated = checkpoint.get("updated_channels")
        return (
            self._plain is not None
            and self._begun
            and not self._writing.locked()
            and bool(updated)
            and not checkpoint["channel_values"].get(TASKS)
            and not any(channel in self._triggers for channel in updated or ())
        )

    async def _send_last(self, put: Put) -> None:
        pending = _Pending(put, asyncio.get_running_loop().create_future())
        self._pending = _needed([*self._pending, pending], drops=False)
        if len(self._pending) > 1:  # it needs what is written with it
            await self._flush_for(pending)
            return
        writing = self._begin_flush()
        await asyncio.sleep(0)
        # It has been sent, or cannot be: LangGraph is told of what cannot be written.
        if writing.done():
            await writing
        self._last = put, writing

    async def _and_flush(self, operation: Operation) -> None:
        pending = _Pending(operation, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        await self._flush_for(pending)

    async def _flush_for(self, pending: _Pending) -> None:
        """Return when this is written: with others, if these are being written."""
        assert pending.done is not None
        while not pending.done.done():
            if pending in self._pending:
                await self.flush()
            else:
                await asyncio.wait({pending.done})
        pending.done.result()

    async def _flush_if_pending(self) -> None:
        if not self._copying and (self._pending or self._writing.locked()):
            await self.flush()

    def _hold(self, put: Put) -> None:
        self._pending = _needed([*self._pending, _Pending(put)], drops=self._drops and not self._begun)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HELD_S, self._begin_timed_flush)

    def _begin_timed_flush(self) -> None:
        self._timer = None
        self._timed = asyncio.create_task(self._flush_in_time())

    async def _flush_in_time(self) -> None:
        with contextlib.suppress(Exception):  # it waits for what follows, which is told
            await self.flush()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What is written

    async def _write(self, operations: Sequence[Operation]) -> None:
        if self._begun:
            await self._write_operations(operations)
            return
        roots = [one for one in operations if isinstance(one, Put) and not namespace_of(one)]
        if self._plain is not None and roots:
            try:
                await self._adopt(self._begins_at, self._carrier_of(operations, roots[-1]))
                self._begun = True
                return
            except Unwritten:
                pass
        await self._write_operations(operations)
        await self._adopt(self._begins_at, None)
        self._begun = True

    async def _write_operations(self, operations: Sequence[Operation]) -> None:
        if self._plain is not None:
            if operations:
                await self._plain.write_together(operations)
            return
        for one in operations:
            if isinstance(one, Put):
                await self._saver.aput(one.config, one.checkpoint, one.metadata, one.new_versions)
            else:
                await self._saver.aput_writes(one.config, one.writes, one.task_id, one.task_path)


def _needed(pending: Sequence[_Pending], *, drops: bool) -> list[_Pending]:
    """These without what a later one makes superfluous: nothing can be resumed from it any more.

    `drops`: also without checkpoints.
    """
    needed: list[_Pending] = []
    for one in pending:
        put = one.operation
        if isinstance(put, Put) and put.stands_alone:
            parent = get_checkpoint_id(put.config)
            for before in [other for other in needed if namespace_of(other.operation) == namespace_of(put)]:
                superfluous = before.operation
                if isinstance(superfluous, Writes) and superfluous.checkpoint_id == parent:
                    needed.remove(before)
                    before.end()
                elif isinstance(superfluous, Put) and drops:
                    needed.remove(before)
                    one.operation = put = _without_parent(put, superfluous)
        needed.append(one)
    return needed


def _has_deltas(graph: Pregel[Any, Any, Any, Any]) -> bool:
    return any(isinstance(channel, DeltaChannel) for channel in graph.channels.values())


def _without_parent(put: Put, dropped: Put) -> Put:
    """The checkpoint that follows one that is not written: it names no parent, and brings that one's values."""
    named = {name: value for name, value in put.config["configurable"].items() if name != "checkpoint_id"}
    config: RunnableConfig = {**put.config, "configurable": named}
    return Put(config, put.checkpoint, put.metadata, {**dropped.new_versions, **put.new_versions})

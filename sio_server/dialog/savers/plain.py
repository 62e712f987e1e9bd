"""Checkpoints in a Redis without modules: hashes, a list, a sorted set and Lua, on Redis or Valkey from 6.2 on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import cache
from importlib import resources
from itertools import groupby
from random import getrandbits
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from sio_server.dialog.savers.errors import StaleOwner
from sio_server.dialog.savers.operations import Operation, Put, Writes
from sio_server.dialog.savers.pruning import Header, can_be_resumed, needed_fields
from sio_server.dialog.savers.serializer import StateSerializer
from sio_server.store.bounded import BoundedRedis, BytesCall
from sio_server.store.keys import checkpoint_keys, checkpoint_threads
from sio_server.store.partitions import PARTITIONS
from sio_server.store.pipelined import LoadedScript
from sio_server.store.scripts import ScriptCall
from sio_server.store.slots import slot_of

FENCING_TOKEN = "fencing_token"  # the key in `config["configurable"]`
READ_AT_ONCE = 20  # checkpoints, with their values, in one reply while listing


class PlainRedisSaver(BaseCheckpointSaver[str]):
    """A LangGraph checkpointer, async only, for a client whose replies are bytes.

    Every write is one script, so it is done or not done, and the same write again changes nothing: a client may
    repeat it. With `fencing_token` in `configurable` a checkpoint or a task's writes are only taken while the
    conversation's lease has that token; otherwise StaleOwner is raised. The latest checkpoint of a namespace is
    the one written last, whatever the clocks say that the ids were made from. Errors of Redis pass through.
    """

    def __init__(self, redis: Redis) -> None:
        super().__init__(serde=StateSerializer())
        if redis.get_encoder().decode_responses:  # type: ignore[no-untyped-call]
            raise ValueError("checkpoints are bytes: use a client with decode_responses=False")
        self._redis = redis
        self._is_on_cluster = isinstance(redis, BoundedRedis) and redis.routed is not None

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the latest of its namespace. One round trip."""
        thread_id, namespace = _place(config)
        found = await self._read(thread_id, [(namespace, get_checkpoint_id(config) or "")])
        return found[0] if found else None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints with the greatest ids first: of a namespace, of a thread, or, without a config, all."""
        named = config["configurable"] if config else {}
        namespace, checkpoint_id = named.get("checkpoint_ns"), named.get("checkpoint_id")
        end = get_checkpoint_id(before) if before else None
        found: list[tuple[str, Header]] = []
        for thread_id in [str(named["thread_id"])] if config else await self._thread_ids():
            found += [
                (thread_id, header)
                for header in await self._headers(thread_id)
                if namespace in (None, header.namespace)
                and checkpoint_id in (None, "", header.id)
                and (not end or header.id < end)
                and (not filter or all(header.metadata.get(key) == value for key, value in filter.items()))
            ]
        found.sort(key=lambda item: item[1].id, reverse=True)
        for thread_id, group in groupby(found[:limit], key=lambda item: item[0]):
            wanted = [(header.namespace, header.id) for _, header in group]
            for start in range(0, len(wanted), READ_AT_ONCE):
                for item in await self._read(thread_id, wanted[start : start + READ_AT_ONCE]):
                    yield item

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Write a checkpoint; its parent is the one that the config names. Only new values are sent. Fenced."""
        put = Put(config, checkpoint, metadata, new_versions)
        # Where a value that should be stored is not, because its checkpoint was dropped, all are sent.
        for whole in (False, True):
            if await self._run(*self._prepared(put, whole=whole)) == b"ok":
                break
        thread_id, namespace = _place(config)
        token = _token(config)
        place = {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint["id"]}
        # LangGraph continues from this config: what it writes then stays fenced.
        return {"configurable": place if token is None else {**place, FENCING_TOKEN: token}}

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Add what a task has written to the checkpoint that the config names. Fenced."""
        await self._run(*self._prepared(Writes(config, writes, task_id, task_path)))

    async def write_together(self, operations: Sequence[Operation], then: ScriptCall | None = None) -> Any:
        """Write all of this in order, in one round trip; return the reply to `then`, which is run after it.

        Each is done or not done. `then` is run whatever became of them: it has to check what it depends on.
        Fenced: raises StaleOwner, but not with `then`, whose own reply says so.
        """
        calls = [_call(*self._prepared(operation)) for operation in operations]
        if then is not None:
            calls.append((then.script, then.keys, then.args))
        replies = await self._run_together(calls)
        last = replies.pop() if then is not None else None
        for operation, reply in zip(operations, replies, strict=True):
            if isinstance(reply, Exception):
                raise reply
            if reply == b"stale" and not isinstance(last, list):
                raise StaleOwner
            if reply == b"incomplete":
                await self._run(*self._prepared(operation, whole=True))
        if isinstance(last, Exception):
            raise last
        return _text(last)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all that a thread has."""
        await self._run("delete", thread_id, thread_id)

    async def adelete_threads(self, thread_ids: Sequence[str]) -> None:
        """Delete all that these threads have, in one round trip (to each slot of a Redis Cluster)."""
        groups: dict[int, list[BytesCall]] = {}
        for call in (_call("delete", thread_id, thread_id) for thread_id in thread_ids):
            groups.setdefault(slot_of(call[1][0]) if self._is_on_cluster else 0, []).append(call)
        done = await asyncio.gather(*map(self._run_together, groups.values()), return_exceptions=True)
        for replies in done:
            for reply in [replies] if isinstance(replies, BaseException) else replies:
                if isinstance(reply, BaseException):
                    raise reply

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints whose metadata name one of the runs. It looks through all threads."""
        for thread_id in await self._thread_ids() if run_ids else []:
            headers = await self._headers(thread_id)
            await self._drop(thread_id, [item for item in headers if item.metadata.get("run_id") in run_ids])

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Make one thread a copy of another as it is at one moment; a source that is empty changes nothing."""
        parts = await self._run("read_thread", source_thread_id)
        if source_thread_id != target_thread_id and any(parts):
            sizes = [len(part) for part in parts[:3]]
            strings = [string for part in parts for string in part]
            await self._run("write_thread", target_thread_id, target_thread_id, *sizes, *strings)

    async def aprune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: str = "keep_latest",
        keep_last: int | None = None,
    ) -> None:
        """Keep of each namespace only the checkpoints written last: one, or `keep_last`; `delete` keeps none.

        Also dropped are namespaces of subgraphs that nothing can resume any more, since each run of a subgraph
        adds one; and kept are the ancestors from which a kept checkpoint's delta channels are put together.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"unknown strategy: {strategy}")
        keep = (0 if strategy == "delete" else 1) if keep_last is None else keep_last
        for thread_id in thread_ids:
            if keep <= 0:
                await self.adelete_thread(thread_id)
                continue
            headers = await self._headers(thread_id)
            kept = needed_fields(headers, keep)
            await self._drop(thread_id, [item for item in headers if item.field not in kept])

    async def subgraphs(self, thread_id: str, root_id: str) -> set[str]:
        """The namespaces of subgraphs that can be entered from the root's checkpoint `root_id`."""
        return {
            header.namespace
            for header in await self._headers(thread_id)
            if header.namespace and can_be_resumed(header.namespace, header.metadata.get("parents", {}), root_id)
        }

    async def task_paths(self, config: RunnableConfig) -> dict[str, str]:
        """The path of each task that has written to the checkpoint of this config; it orders their writes."""
        thread_id, namespace = _place(config)
        found = await self._run("get", thread_id, namespace, get_checkpoint_id(config) or "")
        writes = [write.split(b"\0", 5) for _, _, _, _, _, _, _, held in found for write in held]
        return {task_id.decode(): path.decode() for _, _, task_id, _, path, _ in writes}

    def get_next_version(self, current: str | None, channel: None) -> str:
        """The number of a value, and chance: two forks of a thread give different values the same number.

        Short, since every checkpoint names a dozen of them.
        """
        number = int(str(current).partition(".")[0]) if current else 0
        return f"{number + 1:08}.{getrandbits(32):08x}"

    # Redis

    async def _run(self, name: str, thread_id: str, *args: str | bytes | int) -> Any:
        """Run a script on a thread. Raises StaleOwner."""
        (reply,) = await self._run_together([_call(name, thread_id, *args)])
        if isinstance(reply, Exception):
            raise reply
        if reply == b"stale":
            raise StaleOwner
        return reply

    async def _run_together(self, calls: Sequence[BytesCall]) -> list[Any]:
        """The replies to scripts that are sent together, errors among them; they may be repeated."""
        if isinstance(self._redis, BoundedRedis):
            return await self._redis.run_together(calls)
        while True:
            async with self._redis.pipeline(transaction=False) as pipe:
                for script, keys, args in calls:
                    pipe.evalsha(script.sha, len(keys), *keys, *args)
                replies: list[Any] = await pipe.execute(raise_on_error=False)
            if not any(isinstance(reply, NoScriptError) for reply in replies):
                return replies
            for script in {script.sha: script for script, _, _ in calls}.values():
                await self._redis.script_load(script.source)

    def _prepared(self, operation: Operation, *, whole: bool = False) -> tuple[Any, ...]:
        """The script that writes it, its thread and arguments. `whole`: with values that are stored already."""
        config = operation.config
        thread_id, namespace = _place(config)
        token = _token(config) or ""
        if isinstance(operation, Writes):
            parts: list[str | bytes] = []
            for position, (channel, value) in enumerate(operation.writes):
                index = WRITES_IDX_MAP.get(channel, position)
                key = f"{namespace}\0{operation.checkpoint_id}\0{operation.task_id}\0{index}\0"
                what = f"{operation.task_path}\0{channel}\0".encode() + self._dump(value)
                parts += [key, what, "1" if index < 0 else ""]
            return "put_writes", thread_id, token, *parts
        checkpoint = operation.checkpoint
        rest = {key: part for key, part in checkpoint.items() if key not in ("id", "channel_values")}
        described: dict[str, Any] = {**get_checkpoint_metadata(config, operation.metadata)}
        described.pop(FENCING_TOKEN, None)  # it was copied from `configurable`
        ids = (namespace, checkpoint["id"], get_checkpoint_id(config) or "")
        versions = checkpoint["channel_versions"]
        held = {name: value for name, value in checkpoint["channel_values"].items() if name in versions}
        values: list[str | bytes] = []
        for name, value in held.items():
            sent = whole or name in operation.new_versions
            values += [f"{name}\0{versions[name]}", self._dump(value) if sent else b""]
        return "put", thread_id, token, thread_id, *ids, self._dump(rest), self._dump(described), *values

    async def _read(self, thread_id: str, wanted: Sequence[tuple[str, str]]) -> list[CheckpointTuple]:
        found = await self._run("get", thread_id, *(part for pair in wanted for part in pair))
        return [self._tuple(thread_id, *parts) for parts in found]

    async def _headers(self, thread_id: str) -> list[Header]:
        return [
            Header(namespace.decode(), checkpoint_id.decode(), parent.decode(), self._load(metadata))
            for namespace, checkpoint_id, parent, metadata in await self._run("list", thread_id)
        ]

    async def _drop(self, thread_id: str, headers: Sequence[Header]) -> None:
        if headers:
            await self._run("drop", thread_id, thread_id, *(header.field for header in headers))

    async def _thread_ids(self) -> list[str]:
        found: list[set[Any]] = await asyncio.gather(
            *(self._redis.smembers(checkpoint_threads(number)) for number in range(PARTITIONS))
        )
        return [thread_id.decode() for ids in found for thread_id in ids]

    # Bytes

    def _dump(self, value: Any) -> bytes:
        kind, data = self.serde.dumps_typed(value)
        return kind.encode() + b"\0" + data

    def _load(self, value: bytes) -> Any:
        kind, _, data = value.partition(b"\0")
        return self.serde.loads_typed((kind.decode(), data))

    def _tuple(self, thread_id: str, *parts: Any) -> CheckpointTuple:
        namespace, checkpoint_id, parent = (part.decode() for part in parts[:3])
        checkpoint, metadata, refs, values, writes = parts[3:]
        place = {"thread_id": thread_id, "checkpoint_ns": namespace}
        channels = [ref.rpartition(b"\0")[0].decode() for ref in refs]
        pending = []
        for write in writes:
            *key, value = write.split(b"\0", 6)
            task_id, index, path, channel = (part.decode() for part in key[2:])
            pending.append((writes_sort_key(path, task_id, int(index)), (task_id, channel, self._load(value))))
        pending.sort(key=lambda item: item[0])
        state = self._load(checkpoint)
        state["id"] = checkpoint_id
        state["channel_values"] = dict(zip(channels, map(self._load, values), strict=True))
        return CheckpointTuple(
            config={"configurable": {**place, "checkpoint_id": checkpoint_id}},
            checkpoint=state,
            metadata=self._load(metadata),
            parent_config={"configurable": {**place, "checkpoint_id": parent}} if parent else None,
            pending_writes=[write for _, write in pending],
        )


def _text(reply: Any) -> Any:
    """A reply of a script with text instead of bytes."""
    if isinstance(reply, list):
        return [_text(item) for item in reply]
    return reply.decode() if isinstance(reply, bytes) else reply


def _call(name: str, thread_id: str, *args: str | bytes | int) -> BytesCall:
    """A script on a thread."""
    return _script(name), checkpoint_keys(thread_id).all, args


@cache
def _script(name: str) -> LoadedScript:
    return LoadedScript(_source("_thread") + _source(name))


def _source(name: str) -> str:
    return (resources.files(__package__ + ".lua") / f"{name}.lua").read_text(encoding="utf-8")


def _place(config: RunnableConfig) -> tuple[str, str]:
    named = config["configurable"]
    return str(named["thread_id"]), named.get("checkpoint_ns", "")


def _token(config: RunnableConfig) -> str | None:
    token: str | None = config["configurable"].get(FENCING_TOKEN)
    if token == "":
        raise StaleOwner  # to the scripts this would mean that nothing is to be checked
    return token

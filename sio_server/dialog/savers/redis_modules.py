"""langgraph-checkpoint-redis, which keeps checkpoints by the JSON and Search of Redis 8, made exact."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    writes_sort_key,
)
from langgraph.checkpoint.redis.aio import AsyncRedisSaver
from langgraph.checkpoint.redis.util import from_storage_safe_str, to_storage_safe_id, to_storage_safe_str
from redisvl.query import FilterQuery
from redisvl.query.filter import Tag

from sio_server.dialog.savers.pruning import can_be_resumed
from sio_server.dialog.savers.serializer import StateSerializer

# The library logs an error with a traceback whenever Redis is away; here exceptions say so.
logging.getLogger("redisvl").setLevel(logging.CRITICAL)

_EXACT = "exact"  # the field that holds a checkpoint or its metadata, serialized


class RedisSaver(AsyncRedisSaver):
    """A saver that returns state as it was, deletes all of it, and knows the subgraphs that can be resumed.

    The library keeps state as JSON. Most types of Python are lost in it, and a dictionary that is shaped like a
    constructor calls the class that it names. Here a document holds what is searched for, and beside it all of the
    checkpoint in the bytes of StateSerializer.

    Writes that an owner makes late, when its thread has been deleted, bring a part of a checkpoint back that no
    index knows; it is found by the writes that belong to it.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.serde = StateSerializer()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        found = await super().aget_tuple(config)
        return found and self._with_exact_metadata(found)

    async def alist(self, config: RunnableConfig | None, **how: Any) -> AsyncIterator[CheckpointTuple]:
        async for found in super().alist(config, **how):
            yield self._with_exact_metadata(found)

    async def aget_channel_values(self, *args: Any, **named: Any) -> dict[str, Any]:
        """Nothing: `_load_checkpoint` has them."""
        return {}

    async def adelete_thread(self, thread_id: str) -> None:
        writes = FilterQuery(
            filter_expression=Tag("thread_id") == to_storage_safe_id(thread_id),
            return_fields=["checkpoint_ns", "checkpoint_id"],
            num_results=10_000,
        )
        found = await self.checkpoint_writes_index.search(writes)
        places = {(document.checkpoint_ns, document.checkpoint_id) for document in found.docs}
        await super().adelete_thread(thread_id)
        parts = [self._make_redis_checkpoint_key(thread_id, *place) for place in places]
        if self._key_registry:
            parts += [self._key_registry.make_write_keys_zset_key(thread_id, *place) for place in places]
        if parts:
            await self._redis.unlink(*parts)

    async def subgraphs(self, thread_id: str, root_id: str) -> set[str]:
        """The namespaces of subgraphs that can be entered from the root's checkpoint `root_id`.

        Not by `alist`, which makes every checkpoint of the thread into objects, with all values.
        """
        of_subgraphs = FilterQuery(
            filter_expression=(Tag("thread_id") == to_storage_safe_id(thread_id))
            & (Tag("checkpoint_ns") != to_storage_safe_str("")),
            return_fields=["checkpoint_ns", "$.metadata"],
            num_results=10_000,
        )
        found = await self.checkpoints_index.search(of_subgraphs)
        return {
            namespace
            for document in found.docs
            if can_be_resumed(
                namespace := from_storage_safe_str(document.checkpoint_ns),
                json.loads(document["$.metadata"]).get("parents", {}),
                root_id,
            )
        }

    async def task_paths(self, config: RunnableConfig) -> dict[str, str]:
        """The path of each task that has written to the checkpoint of this config; it orders their writes."""
        named = config["configurable"]
        place = (named["thread_id"], named.get("checkpoint_ns", ""), named["checkpoint_id"])
        return {write["task_id"]: write["task_path"] for write in await self._written(*place)}

    # What the library reads and writes state by

    def _dump_checkpoint(self, checkpoint: Checkpoint) -> dict[str, Any]:
        values = {name: self.serde.dumps_typed(value) for name, value in checkpoint["channel_values"].items()}
        return {"id": checkpoint["id"], _EXACT: self._dump({**checkpoint, "channel_values": values})}

    def _load_checkpoint(self, checkpoint: Any, *_: Any) -> Checkpoint:
        held = json.loads(checkpoint) if isinstance(checkpoint, str) else checkpoint
        loaded: Checkpoint = self._load(held[_EXACT])
        values = loaded["channel_values"].items()
        return {**loaded, "channel_values": {name: self.serde.loads_typed(value) for name, value in values}}

    def _dump_metadata(self, metadata: CheckpointMetadata) -> str:
        return json.dumps({"parents": metadata.get("parents", {}), _EXACT: self._dump(metadata)})

    def _with_exact_metadata(self, found: CheckpointTuple) -> CheckpointTuple:
        held: Any = found.metadata
        return found._replace(metadata=self._load(held[_EXACT]))

    async def _aload_pending_sends(self, *_: Any, **__: Any) -> list[Any]:
        """None: LangGraph has them in the checkpoint."""
        return []

    async def _abatch_load_pending_sends(self, *_: Any) -> dict[Any, Any]:
        return {}

    async def _aload_pending_writes(
        self, thread_id: str, checkpoint_ns: str = "", checkpoint_id: str = ""
    ) -> list[PendingWrite]:
        """What tasks have written, in LangGraph's order, from which a DeltaChannel is put together.

        The library's own is that of the places within each task, and it leaves out what it cannot read.
        """
        found = await self._written(thread_id, checkpoint_ns, checkpoint_id)
        found.sort(key=lambda write: writes_sort_key(write["task_path"], write["task_id"], int(write["idx"])))
        return [
            (
                write["task_id"],
                write["channel"],
                self.serde.loads_typed((write["type"], self._decode_blob(write["blob"]))),
            )
            for write in found
        ]

    async def _abatch_load_pending_writes(
        self, batch_keys: list[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], list[PendingWrite]]:
        return {place: await self._aload_pending_writes(*place) for place in batch_keys}

    async def _written(self, *place: str) -> list[dict[str, Any]]:
        """The documents of what tasks have written to a checkpoint."""
        assert self._key_registry is not None
        keys = await self._key_registry.get_write_keys(*place)
        if not keys:
            return []
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.json().get(key)
        return [document for document in await pipe.execute() if document]

    def _dump(self, value: Any) -> str:
        kind, data = self.serde.dumps_typed(value)
        return f"{kind} {self._encode_blob(data)}"

    def _load(self, text: str) -> Any:
        kind, _, data = text.partition(" ")
        return self.serde.loads_typed((kind, self._decode_blob(data)))

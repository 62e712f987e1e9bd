"""langgraph-checkpoint-redis, which keeps checkpoints by the JSON and Search of Redis 8, with two gaps closed."""

from __future__ import annotations

import json
import logging

from langgraph.checkpoint.redis.aio import AsyncRedisSaver
from langgraph.checkpoint.redis.util import from_storage_safe_str, to_storage_safe_id, to_storage_safe_str
from redisvl.query import FilterQuery
from redisvl.query.filter import Tag

from sio_server.dialog.savers.pruning import can_be_resumed

# The library logs an error with a traceback whenever Redis is away; here exceptions say so.
logging.getLogger("redisvl").setLevel(logging.CRITICAL)


class RedisSaver(AsyncRedisSaver):
    """A saver whose deletions leave nothing behind, and which knows the subgraphs that can be resumed.

    Writes that an owner makes late, when its thread has been deleted, bring a part of a checkpoint back that no
    index knows; it is found by the writes that belong to it.
    """

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

"""The savers as graphs get them: errors of our store are marked, so that none of a graph's is taken for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sio_server.dialog.savers.errors import store_errors
from sio_server.dialog.savers.operations import Operation
from sio_server.dialog.savers.plain import PlainRedisSaver
from sio_server.dialog.savers.redis_modules import RedisSaver
from sio_server.store.scripts import ScriptCall


class _Marked:
    """Raises StoreLost or NotKept for what a saver's Redis, or its encoding, raises."""

    async def aget_tuple(self, *args: Any, **options: Any) -> Any:
        with store_errors():
            return await super().aget_tuple(*args, **options)  # type: ignore[misc]

    async def alist(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        with store_errors():
            async for item in super().alist(*args, **options):  # type: ignore[misc]
                yield item

    async def aput(self, *args: Any, **options: Any) -> Any:
        with store_errors():
            return await super().aput(*args, **options)  # type: ignore[misc]

    # LangGraph gives `task_path`, which orders writes, only to a method that names it.
    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        with store_errors():
            await super().aput_writes(config, writes, task_id, task_path)  # type: ignore[misc]

    async def subgraphs(self, thread_id: str, root_id: str) -> set[str]:
        with store_errors():
            found: set[str] = await super().subgraphs(thread_id, root_id)  # type: ignore[misc]
            return found

    async def task_paths(self, config: Any) -> dict[str, str]:
        with store_errors():
            found: dict[str, str] = await super().task_paths(config)  # type: ignore[misc]
            return found


class MarkedPlainSaver(_Marked, PlainRedisSaver):
    """The plain saver."""

    async def write_together(self, operations: Sequence[Operation], then: ScriptCall | None = None) -> Any:
        with store_errors():
            return await super().write_together(operations, then)


class MarkedRedisSaver(_Marked, RedisSaver):
    """langgraph-checkpoint-redis."""

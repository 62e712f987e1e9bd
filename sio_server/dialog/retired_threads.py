"""Deletes the threads of checkpoints that nobody needs any more: many at once, beside the runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from sio_server.conversation.runs import Runs
from sio_server.dialog.savers.store import CheckpointStore

log = logging.getLogger(__name__)

COLLECTED_S = 1.0  # for which threads are collected


class RetiredThreads:
    """Threads that are to be deleted. What is left over is named again when the next run there ends."""

    def __init__(self, checkpoints: CheckpointStore, runs: Runs) -> None:
        self._checkpoints = checkpoints
        self._runs = runs
        self._waiting: dict[str, set[str]] = {}  # by conversation
        self._task: asyncio.Task[None] | None = None
        self._now = asyncio.Event()

    def add(self, conversation_id: str, thread_ids: list[str]) -> None:
        """Delete these threads soon."""
        self._waiting.setdefault(conversation_id, set()).update(thread_ids)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._delete_later())

    async def delete_now(self) -> None:
        """Delete all that waits."""
        if self._task is not None:
            self._now.set()
            await asyncio.wait({self._task})
            self._now.clear()

    async def _delete_later(self) -> None:
        while self._waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COLLECTED_S):
                    await self._now.wait()
            await self._delete()

    async def _delete(self) -> None:
        waiting, self._waiting = self._waiting, {}
        try:
            await self._checkpoints.delete_threads([thread for threads in waiting.values() for thread in threads])
            await self._runs.forget_threads(waiting)
        except Exception as exc:
            log.warning("old checkpoints were not deleted: conversations=%d error=%s", len(waiting), exc)

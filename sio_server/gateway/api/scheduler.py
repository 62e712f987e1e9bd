"""Appends what is due, on any node."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from sio_server.conversation.schedules import Due, Schedules
from sio_server.gateway.api.schedule_times import next_ms
from sio_server.gateway.requests.runs import new_run_id
from sio_server.protocol.errors import Unavailable

log = logging.getLogger(__name__)

LOOK_S = 0.5


class Scheduler:
    """What was missed while no node ran is appended late, once."""

    def __init__(
        self, schedules: Schedules, now: Callable[[], float], count: Callable[[str], None] = lambda outcome: None
    ) -> None:
        """`now`: Redis' time in seconds. `count` is called with `appended` or `refused`."""
        self._count = count
        self._schedules = schedules
        self._now = now

    async def run(self) -> None:
        """Append what is due, until cancelled."""
        while True:
            try:
                for due in await self._schedules.claim():
                    await self._carry_out(due)
            except Unavailable as exc:
                log.info("what is due waits for Redis: error=%s", exc)
            await asyncio.sleep(LOOK_S * random.uniform(0.8, 1.0))

    async def _carry_out(self, due: Due) -> None:
        cron, timezone = due.record["cron"], due.record["timezone"]

        def after(due_ms: int) -> int | None:
            return next_ms(cron, timezone, max(due_ms, int(self._now() * 1000))) if cron else None

        try:
            appended = await self._schedules.carry_out(due, new_run_id(), after)
            self._count("appended" if appended else "refused")
        except Unavailable:
            raise
        except Exception:
            # It is tried again after a while; the others do not wait for it.
            log.exception("what is due could not be done: conversation_id=%s", due.conversation_id)

"""Restarts what ended by itself on a cluster on this machine, with back-off, and says so on the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sio_server.language import Texts
from sio_server.local.cluster import LocalCluster
from sio_server.local.errors import ClusterError
from sio_server.local.processes import UnexpectedEnd
from sio_server.local.redis import NoEmbeddedRedis

FIRST_BACK_OFF_S = 0.5
MAX_BACK_OFF_S = 30.0
STEADY_S = 60.0  # a process that ran so long after its last restart begins with the first back-off again


class Restarts:
    """Keeps the processes of a cluster running: what ends unexpectedly is started again.

    A process that was told to end, by the stage or by a scene, is left alone. `report(ok, line)` is called with
    each line for the screen.
    """

    def __init__(self, cluster: LocalCluster, texts: Texts, report: Callable[[bool, str], None]) -> None:
        self._cluster = cluster
        self._texts = texts
        self._report = report
        self._failures: dict[str, int] = {}  # since the process last ran for STEADY_S
        self._started: dict[str, float] = {}  # when it was last restarted

    async def keep(self) -> None:
        """Restart processes until cancelled; one that does not start holds up no other."""
        async with asyncio.TaskGroup() as group:
            while True:
                end = await self._cluster.ended.get()
                group.create_task(self._restart(end))

    async def _restart(self, end: UnexpectedEnd) -> None:
        process, loop = end.process, asyncio.get_running_loop()
        if loop.time() - self._started.get(process, 0.0) > STEADY_S:
            self._failures.pop(process, None)
        delay = self._back_off(process)
        self._tell("ended_by_itself", process=process, status=end.status, path=end.log, seconds=f"{delay:g}")
        while True:
            await asyncio.sleep(delay)
            if not self._cluster.is_down_unexpectedly(process):
                return  # told to end meanwhile, or started by something else
            try:
                await self._cluster.restart(process)
            except (ClusterError, NoEmbeddedRedis, OSError) as exc:
                reason = self._texts(exc.problem, **exc.values) if isinstance(exc, ClusterError) else str(exc)
                delay = self._back_off(process)
                self._tell("not_restarted", process=process, reason=reason, seconds=f"{delay:g}")
            else:
                self._started[process] = loop.time()
                self._report(True, self._texts("restarted", process=process))
                return

    def _back_off(self, process: str) -> float:
        """Seconds until the next attempt: twice as long each time."""
        failures = self._failures[process] = self._failures.get(process, 0) + 1
        return min(FIRST_BACK_OFF_S * 2.0 ** min(failures - 1, 10), MAX_BACK_OFF_S)

    def _tell(self, name: str, /, **values: object) -> None:
        self._report(False, self._texts(name, **values))

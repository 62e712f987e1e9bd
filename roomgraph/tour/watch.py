"""The runs of a scene, as its devices are told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from roomgraph.check.history import FINAL_TYPES
from roomgraph.check.recording import RecordedDevice
from roomgraph.tour.stage import WAIT_S
from sio_server.protocol.events import ServerEvent
from sio_server.protocol.run import RunStatus


class RunWatch:
    """What devices are told of the runs of some conversations while these go on; they follow all of them."""

    def __init__(self, devices: Sequence[RecordedDevice], *conversation_ids: str) -> None:
        self._devices = devices
        self._conversation_ids = frozenset(conversation_ids)
        self.started: dict[tuple[str, int], tuple[str, float]] = {}  # run and attempt -> node, when it was heard
        self.withdrawn: dict[tuple[str, int], int] = {}  # run and attempt that withdrew -> characters
        self.ended: dict[str, int] = {}  # run -> attempt
        self._shown: dict[tuple[str, int, str], str] = {}  # run, attempt and device -> text so far
        self._heard = asyncio.Event()
        for device in devices:
            for event in (ServerEvent.RUN_CHANGED, ServerEvent.RUN_WRITTEN, ServerEvent.ENTRY_APPENDED):
                device.client.on(event, partial(self._hear, device, event))

    def _hear(self, device: RecordedDevice, event: str, payload: dict[str, Any]) -> None:
        if payload["conversation_id"] not in self._conversation_ids:
            return
        runs = device.conversation(payload["conversation_id"]).runs
        if event == ServerEvent.RUN_CHANGED:
            told = payload["run"]
            run_id, attempt = told["run_id"], told["attempt"]
            if told["status"] == RunStatus.RUNNING:
                self.started.setdefault((run_id, attempt), (told["node"], self.now()))
            run = runs.get(run_id)
            if run is not None and run.withdrawn_text:
                self.withdrawn[run_id, run.attempt] = len(run.withdrawn_text)
        elif event == ServerEvent.RUN_WRITTEN:
            run = runs.get(payload["run_id"])
            if run is not None:
                self._shown[run.run_id, run.attempt, device.name] = run.text
        elif payload["type"] in FINAL_TYPES:
            self.ended[payload["data"]["run_id"]] = payload["data"]["attempt"]
        self._heard.set()

    def now(self) -> float:
        """The clock by which it is said when something was heard."""
        return asyncio.get_running_loop().time()

    def attempt(self, run_id: str) -> int:
        """The latest attempt that was heard of."""
        return max((attempt for run, attempt in self.started if run == run_id), default=0)

    def shown(self, run_id: str, attempt: int) -> list[str]:
        """What each device has shown of an attempt."""
        return [self._shown.get((run_id, attempt, device.name), "") for device in self._devices]

    async def until(self, holds: Callable[[], bool]) -> bool:
        """Wait until it holds, looking again whenever something was heard; False when it does not in time."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not holds():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            return False
        return True

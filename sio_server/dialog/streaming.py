"""Text on its way to devices: collected for some milliseconds, then shown in one delta."""

from __future__ import annotations

import asyncio

from sio_server.dialog.runs import Runs, TakenRun
from sio_server.protocol.errors import Unavailable

COALESCE_S = 0.045  # people see no difference to word by word; the bus sees twenty deltas a second at most


class TextStream:
    """Streams one attempt's text. Deltas join on to each other by offset; their cost is linear in the text."""

    def __init__(self, runs: Runs, run: TakenRun) -> None:
        self._runs = runs
        self._run = run
        self._waiting: list[str] = []
        self._unsent = ""  # the delta on its way
        self._shown = 0
        self._changed = asyncio.Event()

    def add(self, text: str) -> None:
        """The graph said something more."""
        if text:
            self._waiting.append(text)
            self._changed.set()

    async def pump(self) -> None:
        """Show what is added, until cancelled. Raises LeaseLost."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(COALESCE_S)
            await self.flush()

    async def flush(self) -> None:
        """Show what has not been shown. While Redis is away nothing is lost: it is shown later."""
        self._changed.clear()
        while self._unsent or self._waiting:
            if not self._unsent:
                self._unsent = "".join(self._waiting)
                self._waiting.clear()
            try:
                await self._runs.add_text(self._run, self._shown, self._unsent)
            except Unavailable:
                # It may have arrived all the same: the very same delta must be sent again, no longer one.
                self._changed.set()
                return
            self._shown += len(self._unsent)
            self._unsent = ""

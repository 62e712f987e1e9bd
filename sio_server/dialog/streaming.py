"""Text and reports of a run on their way to devices: collected for some milliseconds, then shown in one delta."""

from __future__ import annotations

import asyncio
from typing import Any

from sio_server.conversation.runs import ClaimedRun, Runs
from sio_server.protocol.errors import Unavailable

COALESCE_S = 0.045  # people see no difference from word by word; the bus carries at most 22 deltas a second
BETWEEN_MESSAGES = "\n\n"


class RunStream:
    """Streams one attempt. Each delta begins at the offset where the last one ended: the cost is linear.

    Text and reports are shown in the order in which the graph gave them.
    """

    def __init__(self, runs: Runs, run: ClaimedRun) -> None:
        self._runs = runs
        self._run = run
        self.said = ""  # all the text of this attempt
        self._waiting: list[str | dict[str, Any]] = []
        self._unsent: str | dict[str, Any] = ""  # on its way
        self._shown = 0
        self._reports = 0
        self._message_id: str | None = None
        self._changed = asyncio.Event()
        self._ended = False

    def add_text(self, message_id: str | None, text: str) -> None:
        """Add text of the message with that id."""
        if not text:
            return
        if self._message_id not in (None, message_id):
            text = BETWEEN_MESSAGES + text
        self._message_id = message_id
        self.said += text
        self._waiting.append(text)
        self._changed.set()

    def add_report(self, report: dict[str, Any]) -> None:
        """Add a report: `{kind, ...}`."""
        self._waiting.append(report)
        self._changed.set()

    async def pump(self) -> None:
        """Show what is added, until `close`. Raises LeaseLost."""
        while not self._ended:
            await self._changed.wait()
            if not self._ended:
                await asyncio.sleep(COALESCE_S)
            await self.flush()

    def close(self) -> None:
        """Say that nothing more will be added. A flag, since the Redis client may swallow a cancellation."""
        self._ended = True
        self._changed.set()

    async def flush(self) -> None:
        """Show what has not been shown yet. While Redis cannot be reached nothing is lost: it is shown later."""
        self._changed.clear()
        while self._unsent or self._waiting:
            if not self._unsent:
                self._unsent = self._next()
            try:
                if isinstance(self._unsent, str):
                    await self._runs.add_text(self._run, self._shown, self._unsent)
                    self._shown += len(self._unsent)
                else:
                    await self._runs.add_report(self._run, self._reports + 1, self._unsent)
                    self._reports += 1
            except Unavailable:
                # It may have arrived all the same: the very same delta must be sent again, and not a longer one.
                self._changed.set()
                return
            self._unsent = ""

    def _next(self) -> str | dict[str, Any]:
        """All text up to the next report, or the report."""
        first = self._waiting.pop(0)
        if not isinstance(first, str):
            return first
        count = next((n for n, item in enumerate(self._waiting) if not isinstance(item, str)), len(self._waiting))
        text = "".join([first, *(str(item) for item in self._waiting[:count])])
        del self._waiting[:count]
        return text

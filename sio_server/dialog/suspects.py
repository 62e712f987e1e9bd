"""Runs that lost their node: which of them has ended it?

Each run that was on a node when it ended may have been the cause, and all of them are taken over at once. A run
that loses a second node at the same step is not started again, and this must not hit those that were only beside
it. So the suspects of a node begin one after another: when a graph ends its process as soon as it begins, the
suspect that began last is the one, and the others had been noted as sharing the node by then.
"""

from __future__ import annotations

import asyncio
import contextlib

from sio_server.conversation.runs import Carrier, ClaimedRun, LeaseLost, NodesLost, Runs
from sio_server.protocol.errors import Unavailable

ALONE_S = 0.06  # for which a suspect is the latest to begin; people wait for those behind it
ALL_BEGIN_S = 2.0  # however many suspects there are: a takeover must not take long


class Suspects:
    """Lets the suspects of this node begin one after another."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._begun: dict[str, tuple[ClaimedRun, str]] = {}  # token -> the run, its checkpoint
        self._shared: set[str] = set()  # tokens of those that are noted as sharing the node
        self._alone_until = 0.0
        self._noting: set[asyncio.Task[None]] = set()

    async def begin(self, run: ClaimedRun, checkpoint: str, carrier: Carrier | None = None) -> NodesLost:
        """Adopt the attempt's thread when it is this run's turn. Raises LeaseLost and Unavailable."""
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            async with self._turn:
                if self._begun:
                    await asyncio.sleep(max(0.0, self._alone_until - loop.time()))
                for token in list(self._begun):
                    await self._note_shared(token)
                lost = await self._runs.adopt_thread(run, checkpoint, carrier=carrier)
                has_company = bool(self._begun)
                self._begun[run.token] = run, checkpoint
                alone_s = min(ALONE_S, ALL_BEGIN_S / self._waiting)
                self._alone_until = loop.time() + alone_s
        finally:
            self._waiting -= 1
        if has_company:
            task = asyncio.create_task(self._note_shared_later(run.token, alone_s))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)
        return lost

    def end(self, run: ClaimedRun) -> None:
        """The attempt has ended."""
        self._begun.pop(run.token, None)
        self._shared.discard(run.token)

    async def _note_shared_later(self, token: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if len(self._begun) > 1:
            await self._note_shared(token)

    async def _note_shared(self, token: str) -> None:
        """Note of a run that has been the latest to begin that another one may end the node from now on."""
        if token in self._shared or token not in self._begun:
            return
        run, checkpoint = self._begun[token]
        with contextlib.suppress(LeaseLost, Unavailable):
            await self._runs.adopt_thread(run, checkpoint, shared=True)
            self._shared.add(token)

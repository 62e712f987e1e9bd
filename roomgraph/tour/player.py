"""Plays what was scheduled, each item at its time, one at a time for each target, and says what happened when."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

from roomgraph.tour.figures import Spell
from roomgraph.tour.schedule import Action, Fault, FaultKind, Kind

Item = TypeVar("Item", Fault, Action)


@dataclass
class Happening:
    """A fault or an action that was played; times are those of the event loop."""

    kind: Kind
    began: float
    hit: frozenset[str] | None = frozenset()  # devices that can get nothing meanwhile; None: all of them
    ended: float | None = None

    @property
    def spell(self) -> Spell:
        """It, as the figures take it."""
        if self.ended is None or self.kind == FaultKind.NODE_KILL:
            # Devices of a dead node go elsewhere at once: they do not wait until it is back.
            return Spell(self.began, self.began)
        return Spell(self.began, self.ended, self.hit)


class Player(ABC, Generic[Item]):
    """The base of what plays faults and what plays actions."""

    def __init__(self) -> None:
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.happened: list[Happening] = []

    def counts(self) -> dict[str, int]:
        """How many of each kind were played."""
        return dict(Counter(happening.kind.value for happening in self.happened))

    async def play(self, items: Sequence[Item], duration: float) -> None:
        """Play them at their times from now on; all are over when this returns.

        Where the machine is slow an item waits until its target has recovered from the one before. What could not
        begin within the duration is not played. Raises RuntimeError when something cannot be started again.
        """
        began = asyncio.get_running_loop().time()
        problem = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for item in items:
                    tasks.create_task(self._play(item, began + item.at, began + duration))
        except* RuntimeError as failed:
            problem = failed.exceptions[0]
        if problem is not None:
            raise problem

    async def _play(self, item: Item, at: float, end: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, at - loop.time()))
        async with AsyncExitStack() as held:
            for target in self.targets(item):
                await held.enter_async_context(self._busy[target])
            if loop.time() > end:
                return
            happening = Happening(item.kind, loop.time(), self.hit(item))
            self.happened.append(happening)
            await self.carry_out(item)
            happening.ended = loop.time()

    @abstractmethod
    def targets(self, item: Item) -> list[str]:
        """What is occupied while it is carried out."""

    def hit(self, item: Item) -> frozenset[str] | None:
        """The devices that can get nothing meanwhile; None: all of them."""
        return frozenset()

    @abstractmethod
    async def carry_out(self, item: Item) -> None:
        """Do it; returns when it is over."""

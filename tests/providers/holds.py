"""Points at which a model waits until the test lets it go on."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator


class Holds:
    """Named points: a model reaches one and waits; once released, none waits there any more."""

    def __init__(self) -> None:
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def reached(self, name: str) -> None:
        """Wait until a model waits there."""
        await self._reached[name].wait()

    def release(self, name: str) -> None:
        """Let the models that wait there go on, and those that come."""
        self._released[name].set()

    async def words(self, text: str) -> AsyncIterator[str]:
        """A text in pieces, a word each; at the word `hold:<name>`, which is left out, it waits."""
        for word in re.findall(r"\S+\s*|\s+", text):
            if word.startswith("hold:"):
                name = word.strip().removeprefix("hold:")
                self._reached[name].set()
                await self._released[name].wait()
                continue
            yield word

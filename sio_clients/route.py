"""Where a client connects next, and after which pause. No I/O, no clock."""

from __future__ import annotations

import random
from collections.abc import Sequence

RETURN_S = 0.5  # clients that lost their node reconnect spread over this time
FIRST_S = 0.1
LONGEST_S = 3.0


class Route:
    """The nodes of one client, and its pauses. The first try is at once, at the first node.

    All clients of a node lose it at the same moment, and most have the same list. So each goes to one of the other
    nodes at random, after a random pause. One that fails tries the next node, after growing pauses.
    """

    def __init__(self, urls: Sequence[str], chance: random.Random | None = None) -> None:
        self.urls = list(urls)
        self._chance = chance or random.Random()
        self._at = 0
        self._delay = 0.0

    @property
    def url(self) -> str:
        """The node to try."""
        return self.urls[self._at]

    def choose(self, url: str) -> None:
        """Try this one next. Raises ValueError when it is not on the list."""
        self._at = self.urls.index(url)

    def lost(self) -> float:
        """The connection to the current node was lost: choose another; returns the pause in seconds."""
        if len(self.urls) > 1:
            self._at = (self._at + self._chance.randrange(1, len(self.urls))) % len(self.urls)
        self._delay = 0.0
        return self._chance.uniform(0, RETURN_S)

    def failed(self) -> float:
        """The node could not be reached, or refused for now: choose the next; returns the pause in seconds."""
        self._at = (self._at + 1) % len(self.urls)
        self._delay = min(max(self._delay * 2, FIRST_S), LONGEST_S)
        return self._delay * self._chance.uniform(0.5, 1.5)

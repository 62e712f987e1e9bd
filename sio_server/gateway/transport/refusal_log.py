"""Log lines about refused pages: each tells once a minute what to write into which setting."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from math import inf

AGAIN_AFTER_S = 60.0
KEPT = 100  # values that are remembered; they come from clients
SHOWN = 200  # characters of a value


class RefusalLog:
    """Warns of what was refused, once a minute for each value, however often a page tries."""

    def __init__(self, logger: logging.Logger, message: str) -> None:
        """`message` has a `%s` for the value that was refused, and one for each further text of `warn`."""
        self._logger = logger
        self._message = message
        self._said: OrderedDict[str, float] = OrderedDict()  # value -> when

    def warn(self, value: str, *more: str) -> None:
        """A value was refused; `more` is told with it."""
        value = value[:SHOWN]
        now = time.monotonic()
        if now - self._said.get(value, -inf) < AGAIN_AFTER_S:
            return
        self._said[value] = now
        self._said.move_to_end(value)
        if len(self._said) > KEPT:
            self._said.popitem(last=False)
        self._logger.warning(self._message, value, *(text[:SHOWN] for text in more))

"""The log of a node: bounded, whatever clients do."""

from __future__ import annotations

import logging
import sys
import time

from aiohttp.http_exceptions import HttpProcessingError

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LINES = 20  # of one kind in a period
PERIOD_S = 10.0
KINDS = 1000  # that are counted at once


class Bounded(logging.Filter):
    """Lets pass 20 lines of a kind in ten seconds, and says with the next one how many it has kept back.

    A kind is one place in the code: a client that makes the same mistake a million times fills no disk.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}  # since when, how many since

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.name, str(record.msg)
        now = time.monotonic()
        since, count = self._kinds.get(kind, (now, 0))
        if now - since >= PERIOD_S:
            kept_back = count - LINES
            since, count = now, 0
            if kept_back > 0:
                record.msg, record.args = f"{record.getMessage()} (and {kept_back} more like it before)", ()
        if count == 0 and len(self._kinds) >= KINDS:
            self._kinds.clear()  # messages that differ each time are not of one kind, and must not pile up
        self._kinds[kind] = since, count + 1
        return count < LINES


def not_http(record: logging.LogRecord) -> bool:
    """False for a request that is not HTTP: aiohttp logs it as an error of the server."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def set_up(level: str) -> None:
    """Log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Bounded())
    logging.basicConfig(level=level, format=FORMAT, handlers=[handler])
    logging.getLogger("aiohttp.server").addFilter(not_http)

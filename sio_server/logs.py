"""The log of a node: bounded, whatever clients do."""

from __future__ import annotations

import logging
import sys
import time

from aiohttp.http_exceptions import HttpProcessingError

from sio_server.log_lines import JsonLines

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
                more = f"(and {kept_back} more like it before)"
                if record.args and isinstance(record.args, tuple):
                    record.msg = f"{record.msg} {more}"  # its values keep their names
                else:
                    record.msg, record.args = f"{record.getMessage()} {more}", ()
        if count == 0 and len(self._kinds) >= KINDS:
            self._kinds.clear()  # messages that differ each time are not of one kind, and must not pile up
        self._kinds[kind] = since, count + 1
        return count < LINES


def not_http(record: logging.LogRecord) -> bool:
    """False for a request that is not HTTP: aiohttp logs it as an error of the server."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def announce(message: str, level: int = logging.INFO) -> None:
    """Log a line whatever LOG_LEVEL is: what else the program would print, such as that it is ready."""
    logger = logging.getLogger("roomgraph")
    logger.handle(logger.makeRecord(logger.name, level, "", 0, message, (), None))


def set_up(level: str, *, as_json: bool = False, node: str = "") -> None:
    """Log to stderr, as text, or as JSON that names the node."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Bounded())
    handler.setFormatter(JsonLines(node) if as_json else logging.Formatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("aiohttp.server").addFilter(not_http)

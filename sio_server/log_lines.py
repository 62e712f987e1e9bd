"""Lines of the log as JSON: what a message says in `name=value` is a field, and so are the ids of what is done."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from math import isfinite
from types import MappingProxyType
from typing import Any

# What the current task works on, such as `run_id`: each line that is logged meanwhile names it, also those of
# graphs.
_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))

_CONVERSION = re.compile(r"%(?:%|[#0 +-]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[hlL]?[diouxXeEfFgGcrsa])")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=$")
# Fields of a line that a value of a message does not replace.
_OWN = frozenset({"ts", "level", "logger", "message", "node", "error", "thread"})


@contextmanager
def lines_about(**ids: Any) -> Iterator[None]:
    """Name these ids in every line that this task, and the tasks that it starts, log meanwhile."""
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


class JsonLines(logging.Formatter):
    """One JSON object a line.

    `ts` (ISO 8601 UTC), `level`, `logger`, `message` and `node` are always there; `error` is the traceback.
    """

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        whole, ms = divmod(int(record.created * 1000), 1000)
        line: dict[str, Any] = {
            "ts": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{ms:03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "node": self._node,
        }
        for name, value in {**_about.get(), **fields_of(record)}.items():
            if name not in _OWN:
                line[name] = value if _is_json(value) else str(value)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["error"] = record.exc_text
        return json.dumps(line, ensure_ascii=False, default=str)


def _is_json(value: Any) -> bool:
    """Whether it is kept as a value of JSON, which has no NaN and no infinity."""
    return value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and isfinite(value))


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a message says as `name=%s`, by name."""
    args = record.args
    if not isinstance(record.msg, str) or not isinstance(args, tuple):
        return {}
    return {name: args[index] for name, index in _places(record.msg) if index < len(args)}


@lru_cache(maxsize=1000)
def _places(template: str) -> tuple[tuple[str, int], ...]:
    """Which argument of a template has which name."""
    places: list[tuple[str, int]] = []
    index = 0
    for found in _CONVERSION.finditer(template):
        if found.group() == "%%":
            continue
        index += found.group().count("*")
        if (name := _NAME.search(template, 0, found.start())) is not None:
            places.append((name.group(1), index))
        index += 1
    return tuple(places)

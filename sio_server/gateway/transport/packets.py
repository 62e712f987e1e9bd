"""Packets of Socket.IO as a node reads them: text only, and any valid JSON is read, whatever its numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import socketio

MAX_DIGITS = 100  # of a whole number; a longer one is read as an infinite one, which no field accepts


class NotJson(ValueError):
    """The payload of a packet is not JSON."""


class FrameJson:
    """The JSON of packets. The library's reader raises for long numbers, and accepts NaN and Infinity."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """Compact JSON; an `orjson.Fragment` is put in as it is."""
        try:
            return orjson.dumps(value).decode()
        except TypeError:  # whole numbers of more than 64 bits, and half surrogate pairs
            return json.dumps(value, separators=(",", ":"), default=_ready)

    @staticmethod
    def loads(text: str) -> Any:
        """The value. Raises NotJson."""
        try:
            return json.loads(text, parse_int=_number, parse_constant=_refuse)
        except ValueError as exc:
            raise NotJson(str(exc)) from None


class TextPacket(socketio.packet.Packet):  # type: ignore[misc]
    """A packet of JSON: the library would search every payload, entry by entry, for bytes."""

    uses_binary_events = False
    json = FrameJson


def _ready(fragment: Any) -> Any:
    return json.loads(orjson.dumps(fragment))


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")

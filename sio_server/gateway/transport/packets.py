"""Packets of Socket.IO as a node reads and writes them: text only, and any valid JSON, whatever its numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import socketio

MAX_DIGITS = 100  # of a whole number; a longer one is read as an infinite one, which no field accepts
# orjson reads whole numbers of more than 64 bits as floats: what has so many digits in a row FrameJson reads.
_DIGITS_AS_9 = bytes.maketrans(b"012345678", b"9" * 9)
_MANY_DIGITS = b"9" * 19


class NotJson(ValueError):
    """The payload of a packet is not JSON."""


class FrameJson:
    """The JSON of packets. The library's reader raises for long numbers, and accepts NaN and Infinity."""

    @staticmethod
    def loads(text: str) -> Any:
        """The value. Raises NotJson."""
        try:
            return json.loads(text, parse_int=_number, parse_constant=_refuse)
        except ValueError as exc:
            raise NotJson(str(exc)) from None

    @staticmethod
    def dumps(value: Any, **options: Any) -> str:
        """The text of a value, without white space."""
        return write_json(value).decode()


class TextPacket(socketio.packet.Packet):  # type: ignore[misc]
    """A packet of JSON: the library would search every payload, entry by entry, for bytes."""

    uses_binary_events = False
    json = FrameJson


def read_json(data: bytes | bytearray) -> Any:
    """The value, the same as FrameJson's. Raises NotJson, and UnicodeDecodeError for what is not UTF-8."""
    if _MANY_DIGITS not in data.translate(_DIGITS_AS_9):
        try:
            return orjson.loads(data)
        except ValueError:
            pass  # half a surrogate pair, an exponent that is too large: FrameJson reads these
    return FrameJson.loads(data.decode())


def write_json(value: Any) -> bytes:
    """The value as JSON; an `orjson.Fragment` anywhere in it is ready JSON."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Whole numbers of more than 64 bits, half surrogate pairs, keys that are no plain strings.
        text = json.dumps(value, separators=(",", ":"), default=lambda part: json.loads(orjson.dumps(part)))
        return text.encode()


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")

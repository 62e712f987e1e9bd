"""Reads the heads of websocket frames (RFC 6455) from a stream of bytes, and skips their content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

CONTINUATION, TEXT, BINARY = 0, 1, 2
FIRST_CONTROL = 8  # from here on opcodes are of control frames: close, ping, pong


class FrameHead(NamedTuple):
    """What the first bytes of a frame say."""

    opcode: int
    final: bool
    masked: bool
    size: int  # of the content, in bytes

    @property
    def control(self) -> bool:
        """Whether it is a control frame: close, ping or pong."""
        return self.opcode >= FIRST_CONTROL


class FrameHeads:
    """Finds each head in the bytes of one direction of one connection, however they are cut into pieces."""

    def __init__(self) -> None:
        self._begun = b""  # of a head that is not complete
        self._skip = 0  # bytes of content that are still to come

    def feed(self, data: bytes) -> Iterator[FrameHead]:
        """The heads that these bytes complete. Exhaust it before the next call."""
        if self._begun:
            data, self._begun = self._begun + data, b""
        at, end = self._skip, len(data)
        while end - at >= 2:
            size, start = data[at + 1] & 0x7F, at + 2
            if size >= 126:
                length = 2 if size == 126 else 8
                if end - start < length:
                    break
                size = int.from_bytes(data[start : start + length], "big")
                start += length
            masked = bool(data[at + 1] & 0x80)
            yield FrameHead(data[at] & 0xF, bool(data[at] & 0x80), masked, size)
            at = start + size + (4 if masked else 0)
        self._begun, self._skip = data[at:], max(0, at - end)

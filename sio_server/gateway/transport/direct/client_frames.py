"""Reads the websocket frames of a client (RFC 6455), strictly, however their bytes are cut into pieces."""

from __future__ import annotations

from sio_server.gateway.transport.close_codes import CloseCode
from sio_server.gateway.transport.engine import HARD_FRAME_BYTES
from sio_server.gateway.transport.inbound import NOT_MASKED, Fault
from sio_server.gateway.transport.libraries import apply_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_CONTROL_BYTES = 125

_TOO_BIG = Fault(CloseCode.MESSAGE_TOO_BIG, "a message is too big")
_BINARY = Fault(CloseCode.UNSUPPORTED_DATA, "binary frames are not supported")


class WrongFrame(Exception):
    """What the client has sent is no frame that it may send."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


def _wrong(reason: str) -> WrongFrame:
    return WrongFrame(Fault(CloseCode.PROTOCOL_ERROR, reason))


class ClientFrames:
    """Frames from bytes: `feed` them, then call `next` until it returns None.

    A message in fragments is returned when its last one has come; each before it is returned as a CONTINUATION.
    """

    __slots__ = ("_at", "_data", "_message", "_need")

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0  # what is before it has been read
        self._need = 2  # bytes, from _at on, without which there is nothing to read
        self._message: bytearray | None = None  # of a message whose last fragment has not come

    @property
    def is_empty(self) -> bool:
        """Whether no frame and no message has begun."""
        return self._message is None and self._at == len(self._data)

    def feed(self, data: bytes) -> None:
        """These bytes have come."""
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data

    def next(self) -> tuple[int, bytearray] | None:
        """The next frame, opcode and content; None while there is no whole one. Raises WrongFrame."""
        data, at = self._data, self._at
        left = len(data) - at
        if left < self._need:
            return None
        first, second = data[at], data[at + 1]
        final, opcode, size = first & 0x80, first & 0x0F, second & 0x7F
        self._check_head(first, second)
        start = at + 2
        if size >= 126:
            length = 2 if size == 126 else 8
            if left < 2 + length:
                self._need = 2 + length
                return None
            size = int.from_bytes(data[start : start + length], "big")
            start += length
        if size + (len(self._message) if self._message and opcode == CONTINUATION else 0) > HARD_FRAME_BYTES:
            raise WrongFrame(_TOO_BIG)
        end = start + 4 + size
        if len(data) < end:
            self._need = end - at
            return None
        content = data[start + 4 : end]
        apply_mask(bytes(data[start : start + 4]), content)
        self._at, self._need = end, 2
        if end == len(data):
            self._data, self._at = bytearray(), 0
        return self._frame(opcode, bool(final), content)

    def _check_head(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if not second & 0x80:
            raise WrongFrame(NOT_MASKED)
        if first & 0x70:
            raise _wrong("a reserved bit is set")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise _wrong("there is no such opcode")
            if not first & 0x80 or second & 0x7F > MAX_CONTROL_BYTES:
                raise _wrong("a control frame is one frame of 125 bytes at most")
        elif opcode > BINARY:
            raise _wrong("there is no such opcode")
        elif opcode == BINARY:
            raise WrongFrame(_BINARY)
        elif (opcode == CONTINUATION) != (self._message is not None):
            raise _wrong(
                "a message begins before the last one has ended"
                if self._message is not None
                else "a continuation frame without a message that has begun"
            )

    def _frame(self, opcode: int, final: bool, content: bytearray) -> tuple[int, bytearray]:
        if opcode >= CLOSE or (opcode == TEXT and final):
            return opcode, content
        if self._message is None:
            self._message = bytearray(content)
        else:
            self._message += content
        if not final:
            return CONTINUATION, content
        message, self._message = self._message, None
        return TEXT, message


def check_close(content: bytes | bytearray) -> None:
    """Raise WrongFrame if this is not the content of a close frame."""
    if not content:
        return
    code = int.from_bytes(content[:2], "big")
    if len(content) < 2 or not (1000 <= code < 5000) or code in (1004, 1005, 1006) or 1015 <= code < 3000:
        raise _wrong("not a close code")
    try:
        content[2:].decode()
    except UnicodeDecodeError:
        raise WrongFrame(Fault(CloseCode.INVALID_TEXT, "the reason is not UTF-8")) from None


_SMALL_HEADS = tuple(bytes((0x80 | TEXT, size)) for size in range(126))


def text_frame(text: bytes) -> bytes:
    """The frame of a text, as a server sends it."""
    size = len(text)
    if size < 126:
        return _SMALL_HEADS[size] + text
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text


def close_frame(code: int, reason: str) -> bytes:
    """A close frame, as a server sends it."""
    content = code.to_bytes(2, "big") + reason.encode()[: MAX_CONTROL_BYTES - 2]
    return bytes((0x80 | CLOSE, len(content))) + content


def pong_frame(content: bytes | bytearray) -> bytes:
    """The answer to a ping."""
    return bytes((0x80 | PONG, len(content))) + content

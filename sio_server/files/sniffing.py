"""What a file is, by its content: neither its name nor what its sender says of it counts."""

from __future__ import annotations

import codecs
import struct
from typing import NamedTuple

from sio_server.protocol.text import is_invisible, valid_unicode

OTHER = "application/octet-stream"
TEXT = "text/plain"
PDF = "application/pdf"
# The only ones that are shown inside a page: browsers draw them and execute nothing of them.
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
MAX_NAME = 120  # characters
# Of JPEG: the segments that begin a frame, and say how large it is.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


class Found(NamedTuple):
    """A type, and the size of an image in pixels, where its beginning says so."""

    mime_type: str
    width: int | None = None
    height: int | None = None


class Sniffer:
    """Is fed a file from its beginning, and says in the end what it is."""

    def __init__(self) -> None:
        self._known: Found | None = None
        self._text: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        self._begun = False

    def feed(self, data: bytes) -> None:
        """The next bytes. What is known by its beginning is known by the first of them."""
        if not self._begun:
            self._begun = True
            self._known = by_beginning(data)
        if self._known is None and self._text is not None:
            try:
                text = self._text.decode(data)
            except UnicodeDecodeError:
                self._text = None
                return
            if any(character < " " and character not in "\t\n\r\f\x1b" for character in text):
                self._text = None

    def found(self) -> Found:
        """What it is, when all of it was fed."""
        if self._known is not None:
            return self._known
        if self._text is not None and self._begun:
            try:
                self._text.decode(b"", final=True)
            except UnicodeDecodeError:
                return Found(OTHER)
            return Found(TEXT)
        return Found(OTHER)


def by_beginning(data: bytes) -> Found | None:
    """An image or a PDF, by its first bytes."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 24:
        return Found("image/png", *struct.unpack(">II", data[16:24]))
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return Found("image/gif", *struct.unpack("<HH", data[6:10]))
    if data[:3] == b"\xff\xd8\xff":
        return Found("image/jpeg", *_jpeg_size(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return Found("image/webp", *_webp_size(data))
    if data.startswith(b"%PDF-"):
        return Found(PDF)
    return None


def clean_file_name(name: str) -> str:
    """The last part of a path as one line: nothing in it leads elsewhere or is unseen; or "file"."""
    last = valid_unicode(name).replace("\\", "/").rpartition("/")[2]
    seen = "".join(" " if one in "\u00a0\u3000" else one for one in last if one == " " or not is_invisible(one))
    seen = " ".join(seen.split()).lstrip(". ")
    if len(seen) > MAX_NAME:
        stem, dot, ending = seen.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 10 else ""
        seen = seen[: MAX_NAME - len(ending)] + ending
    return seen or "file"


def _jpeg_size(data: bytes) -> tuple[int | None, int | None]:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:  # filled up
            at += 1
            continue
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + max(length, 2)
    return None, None


def _webp_size(data: bytes) -> tuple[int | None, int | None]:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None, None

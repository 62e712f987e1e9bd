"""The HTTP request that opens a websocket for Socket.IO, read from the first bytes of a connection."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from urllib.parse import parse_qs

from multidict import CIMultiDict

from sio_server.gateway.transport.engine import PATH
from sio_server.gateway.transport.origins import AllowedOrigins

MAX_HEAD_BYTES = 32 * 1024  # as common proxies pass on
MAX_LINE_BYTES = 8190  # this and the next are aiohttp's: it answers what is above
MAX_HEADERS = 128
EARLY_BYTES = 16 * 1024  # that a client may send before its opening is answered
_USUAL_QUERY = "EIO=4&transport=websocket"
_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455
_HEADERS = re.compile(rb"(?:[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*")
_ONCE = ("upgrade", "sec-websocket-key", "sec-websocket-version", "origin")


class Opening:
    """An opening that is in order. It has what a handshake and the check of origins ask of aiohttp's requests."""

    __slots__ = ("accept", "early", "headers", "remote", "scheme")

    def __init__(self, headers: CIMultiDict[str], accept: str, early: bytes, remote: str | None) -> None:
        self.headers = headers
        self.accept = accept  # the value of Sec-WebSocket-Accept
        self.early = early  # what came after the request
        self.remote = remote
        self.scheme = "http"


class Peer:
    """What is kept of an opening for the handshake: the address and headers of the other end."""

    __slots__ = ("headers", "remote")

    def __init__(self, opening: Opening, *, keep_headers: bool = False) -> None:
        """Without `keep_headers` only those that tell the address: they stay as long as the connection."""
        self.remote = opening.remote
        if keep_headers:
            self.headers = opening.headers
            return
        forwarded = opening.headers.getall("X-Forwarded-For", [])
        self.headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded]) if forwarded else _NONE


_NONE: CIMultiDict[str] = CIMultiDict()


class OpeningReader:
    """Finds out whether a request opens a websocket that this node takes; all others are aiohttp's."""

    def __init__(
        self,
        allows_host: Callable[[str], bool],
        origins: AllowedOrigins,
        turns_away: Callable[[], bool],
        base_path: str = "",
    ) -> None:
        """`turns_away`: whether the node takes no further connection at present."""
        self._begin = f"GET {base_path}{PATH}?".encode()
        self._allows_host = allows_host
        self._origins = origins
        self._turns_away = turns_away

    def may_be(self, data: bytes) -> bool:
        """Whether a request that begins like this may be an opening; more of it is needed to know."""
        return (
            data[: len(self._begin)] == self._begin[: len(data)]
            and len(data) <= MAX_HEAD_BYTES
            and data.find(b"\r\n\r\n") < 0
        )

    def read(self, data: bytes, remote: str | None) -> Opening | None:
        """The opening, if this is one that is in order and that is not refused."""
        end = data.find(b"\r\n\r\n")
        if not data.startswith(self._begin) or not 0 < end <= MAX_HEAD_BYTES or len(data) - end - 4 > EARLY_BYTES:
            return None
        first, *lines = data[:end].decode("latin-1").split("\r\n")
        if len(lines) > MAX_HEADERS or max(map(len, (first, *lines))) > MAX_LINE_BYTES:
            return None
        _, _, rest = first.partition("?")
        query, _, version = rest.rpartition(" ")
        is_whole = first.isascii() and first.isprintable() and _HEADERS.fullmatch(data, len(first) + 2, end + 2)
        if version != "HTTP/1.1" or not is_whole or not _is_ours(query):
            return None
        headers = _headers(lines)
        accept = _accepted(headers)
        if accept is None:
            return None
        opening = Opening(headers, accept, data[end + 4 :], remote)
        refused = (
            self._turns_away()
            or not all(map(self._allows_host, headers.getall("host", [])))
            or not self._origins.allows(opening)
        )
        return None if refused else opening


def _headers(lines: list[str]) -> CIMultiDict[str]:
    parts = (line.partition(":") for line in lines)
    return CIMultiDict([(name, value.strip()) for name, _, value in parts])


def _is_ours(query: str) -> bool:
    if query == _USUAL_QUERY:
        return True
    if " " in query or "#" in query:
        return False
    found = parse_qs(query, keep_blank_values=True)
    return (
        found.get("EIO") == ["4"]
        and found.get("transport", [""])[0] == "websocket"
        and "sid" not in found
        and "j" not in found
    )


def _accepted(headers: CIMultiDict[str]) -> str | None:
    """The answer to the key, if these are the headers of RFC 6455, and there is no body."""
    if set(headers.getall("content-length", [])) - {"0"} or "transfer-encoding" in headers or "expect" in headers:
        return None
    if any(len(headers.getall(name, [])) > 1 for name in _ONCE):
        return None
    if headers.get("upgrade", "").lower() != "websocket":
        return None
    if "upgrade" not in (token.strip() for token in ",".join(headers.getall("connection", [])).lower().split(",")):
        return None
    if headers.get("sec-websocket-version") not in ("13", "8", "7"):
        return None
    key = headers.get("sec-websocket-key", "")
    try:
        if len(base64.b64decode(key)) != 16:
            return None
    except ValueError:  # also when it is not ASCII
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _KEY, usedforsecurity=False).digest()).decode()

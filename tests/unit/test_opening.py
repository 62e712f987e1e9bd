"""Which requests open a websocket of ours; all others are left to the HTTP server, which answers them."""

from __future__ import annotations

import pytest

from sio_server.gateway.transport.direct.opening import (
    EARLY_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINE_BYTES,
    OpeningReader,
    Peer,
)
from sio_server.gateway.transport.origins import AllowedOrigins
from tests.faults.raw_websocket import upgrade_request

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
GOOD = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: chat.example.com\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def reader(*, turns_away: bool = False) -> OpeningReader:
    return OpeningReader(lambda host: host == "chat.example.com", AllowedOrigins(()), lambda: turns_away)


def test_an_opening_is_answered_as_rfc_6455_says() -> None:
    opening = reader().read(GOOD + b"early", "192.0.2.1")
    assert opening is not None
    assert (opening.accept, opening.early) == ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"early")


@pytest.mark.parametrize("query", [b"transport=websocket&EIO=4", b"EIO=4&transport=websocket&t=abc&x="])
def test_the_query_may_be_in_any_order(query: bytes) -> None:
    assert reader().read(GOOD.replace(b"EIO=4&transport=websocket", query), None) is not None


def with_header(name: bytes, value: bytes) -> bytes:
    return GOOD.replace(b"\r\n\r\n", b"\r\n" + name + b": " + value + b"\r\n\r\n")


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        GOOD[:-1],
        GOOD.replace(b"GET", b"POST"),
        GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        GOOD.replace(b"socket.io", b"other"),
        GOOD.replace(b"EIO=4", b"EIO=3"),
        GOOD.replace(b"EIO=4", b"EIO=4&EIO=4"),
        GOOD.replace(b"EIO=4", b"EIO=4&sid=x"),
        GOOD.replace(b"EIO=4", b"EIO=4&j=0"),
        GOOD.replace(b"transport=websocket", b"transport=polling"),
        GOOD.replace(b"Upgrade: websocket\r\n", b""),
        GOOD.replace(b"keep-alive, Upgrade", b"keep-alive"),
        GOOD.replace(b"Version: 13", b"Version: 12"),
        GOOD.replace(KEY, b"short"),
        GOOD.replace(KEY, b"\xff" + KEY),
        with_header(b"Content-Length", b"3"),
        with_header(b"Transfer-Encoding", b"chunked"),
        with_header(b"Sec-WebSocket-Key", KEY),
        with_header(b"Host", b"evil.example"),
        with_header(b"Origin", b"https://evil.example"),
        with_header(b"X A", b"1"),
        with_header(b"X-A", b"1\x00"),
        GOOD.replace(b"\r\nUpgrade", b"\r\n Upgrade"),
        with_header(b"X-A", b"a" * MAX_LINE_BYTES),
        with_header(b"X-A", b"1\n2"),
        with_header(b"X-A", b"1\x7f"),
        with_header(b"Content-Length", b"00"),
        with_header(b"Expect", b"100-continue"),
        with_header(b"X-A", b"1\r\nX-A: 1" * MAX_HEADERS),
        GOOD.replace(b"=websocket", b"=websocket&a=\nb"),
        GOOD.replace(b"=websocket", b"=websocket&a=\x00"),
        GOOD.replace(b"=websocket", b"=websocket&a=\x7f"),
        GOOD.replace(b"=websocket", b"=websocket&a=\xe9"),
        GOOD + b"x" * (EARLY_BYTES + 1),
    ],
)
def test_any_other_request_is_not_taken(request_: bytes) -> None:
    assert reader().read(request_, None) is None


@pytest.mark.parametrize(
    "request_",
    [
        with_header(b"X-City", "Zürich".encode()),
        with_header(b"Cookie", b"a=\xe9"),
        with_header(b"Content-Length", b"0"),
        with_header(b"X-A", b"\r\nX-A: ".join([b"a" * 1000] * 30)),
        GOOD.replace(b"Connection: keep-alive, Upgrade", b"Connection: keep-alive\r\nConnection: Upgrade"),
        GOOD.replace(b"Connection: keep-alive, Upgrade", b"Connection: upgrade\r\nConnection: keep-alive"),
        GOOD + b"x" * EARLY_BYTES,
    ],
)
def test_an_opening_is_taken_in_every_usual_form(request_: bytes) -> None:
    assert reader().read(request_, None) is not None


def test_a_node_that_turns_clients_away_takes_no_opening() -> None:
    assert reader(turns_away=True).read(GOOD, None) is None


def test_a_page_of_the_nodes_own_may_connect() -> None:
    assert reader().read(with_header(b"Origin", b"http://chat.example.com"), None) is not None


def test_more_of_a_request_is_waited_for_only_while_it_may_be_an_opening() -> None:
    whole = upgrade_request(9000)
    found = reader()
    assert all(found.may_be(whole[:size]) for size in range(len(whole)))
    assert not found.may_be(whole)
    assert not found.may_be(b"GET /healthz HTTP/1.1\r\n")
    assert not found.may_be(whole[:-2] + b"X-A: " + b"a" * MAX_HEAD_BYTES)


def test_of_an_opening_only_the_peer_is_kept() -> None:
    opening = reader().read(with_header(b"X-Forwarded-For", b"198.51.100.7"), "192.0.2.1")
    assert opening is not None
    peer = Peer(opening)
    assert (peer.remote, peer.headers.getall("X-Forwarded-For", [])) == ("192.0.2.1", ["198.51.100.7"])
    assert "host" not in peer.headers
    assert "host" in Peer(opening, keep_headers=True).headers

"""What a proxy has not passed is told by name, to the operator and to the page."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from multidict import CIMultiDict

from sio_server.gateway.transport import lost_headers
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.protocol.errors import Refused

PAGE = "https://chat.example.com"


def refused(headers: dict[str, str], origin: str = PAGE, allowed: tuple[str, ...] = ()) -> Refused:
    """How a request with these headers is refused; a proxy speaks HTTP to the node."""
    request = SimpleNamespace(headers=CIMultiDict({"Origin": origin, **headers}), scheme="http")
    with pytest.raises(Refused) as caught:
        AllowedOrigins(allowed).check(request)
    return caught.value


@pytest.mark.parametrize(
    ("headers", "lost"),
    [
        ({"Host": "127.0.0.1:9000"}, ["Host", "X-Forwarded-Proto"]),
        ({"Host": "127.0.0.1:9000", "X-Forwarded-Proto": "https"}, ["Host"]),
        ({"Host": "chat.example.com"}, ["X-Forwarded-Proto"]),
        ({"Host": "127.0.0.1:9000", "X-Forwarded-Host": "chat.example.com"}, ["X-Forwarded-Proto"]),
    ],
)
def test_a_refused_page_is_told_what_a_proxy_has_not_passed(
    headers: dict[str, str], lost: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        error = refused(headers)
    assert error.details == {"lost_headers": lost}
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"have the proxy pass {' and '.join(lost)} " in line
    assert line.endswith(f"or write ALLOWED_ORIGINS={PAGE}")


def test_where_origins_are_listed_the_headers_of_a_proxy_do_not_matter(caplog: pytest.LogCaptureFixture) -> None:
    assert refused({"Host": "127.0.0.1"}, allowed=("https://other.example",)).details == {}
    assert "proxy" not in caplog.text


@pytest.mark.parametrize("origin", ["null", "", "http://[", "a://b://c"])
def test_any_origin_is_refused_in_order(origin: str) -> None:
    assert refused({"Host": "127.0.0.1"}, origin).code == "origin_not_allowed"


OPENING = {"Sec-WebSocket-Key": "x", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade"}


@pytest.mark.parametrize(
    ("changed", "version", "lost"),
    [
        ({}, (1, 1), []),
        ({"Upgrade": ""}, (1, 1), ["Upgrade: websocket"]),
        (
            {"Upgrade": "", "Connection": "close"},
            (1, 0),
            ["Upgrade: websocket", "Connection: Upgrade", "HTTP/1.1"],
        ),
        ({"Connection": "keep-alive"}, (1, 1), ["Connection: Upgrade"]),
    ],
)
def test_what_is_missing_of_an_opening_is_named(
    changed: dict[str, str], version: tuple[int, int], lost: list[str]
) -> None:
    assert lost_headers.of_upgrade(CIMultiDict({**OPENING, **changed}), version) == lost
    assert lost_headers.of_upgrade(CIMultiDict(changed), version) == [], "it opens no websocket"

"""A node answers to addresses, to names of its machine and to listed names, and to no others."""

from __future__ import annotations

import socket

import pytest

from sio_server.gateway.http.hosts import AllowedHosts

HOSTS = AllowedHosts(
    ("Chat.example.com", ".example.org"),
    origins=("https://pages.example.net", "http://10.1.2.3:9000", "*", "null"),
    listens_on="node-7",
)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:9000",
        "192.168.1.20:80",
        "[::1]:9000",
        "[fe80::1]",
        "localhost:9000",
        "LOCALHOST",
        "node.localhost",
        socket.gethostname(),
        f"{socket.gethostname()}.local:9000",
        "chat.example.com",
        "CHAT.example.com.:443",
        "example.org",
        "a.b.example.org:1",
        "pages.example.net",
        "node-7:9000",
    ],
)
def test_an_address_a_name_of_the_machine_and_a_listed_name_are_served(host: str) -> None:
    assert HOSTS.allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9000",
        "chat.example.com.evil.example",
        "xchat.example.com",
        "evil-example.org",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "[::1].evil.example",
        "2130706433.evil.example",
        "null",
        "*",
        ".",
        "",
    ],
)
def test_a_host_name_that_is_not_allowed_is_refused(host: str) -> None:
    assert not HOSTS.allows(host)


def test_every_host_name_is_served_when_the_setting_allows_all() -> None:
    assert AllowedHosts(("*",)).allows("evil.example")

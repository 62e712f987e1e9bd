"""What a proxy has not passed of a request that is refused for it: told in the log, and to the page."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from sio_server.gateway.transport.refusal_log import RefusalLog

log = logging.getLogger(__name__)

_upgrades = RefusalLog(
    log,
    "the opening of a websocket was refused, since it came without %s: have the proxy pass it (docs/proxies.md)",
)


def of_origin(origin: str, own: Iterable[str]) -> list[str]:
    """The headers with which a page of `origin` would be one of the node's `own` origins."""
    scheme, separator, host = origin.partition("://")
    if not separator:
        return []
    known = [url.partition("://") for url in own]
    lost = [] if host in [url[2] for url in known] else ["Host"]
    return lost if scheme in [url[0] for url in known] else [*lost, "X-Forwarded-Proto"]


def of_upgrade(headers: Mapping[str, str], version: tuple[int, int]) -> list[str]:
    """What is missing of an opening that has a key: proxies drop `Upgrade` unless they are told to pass it."""
    if "Sec-WebSocket-Key" not in headers:
        return []
    lost = [] if headers.get("Upgrade", "").lower() == "websocket" else ["Upgrade: websocket"]
    if "upgrade" not in headers.get("Connection", "").lower():
        lost.append("Connection: Upgrade")
    return lost if version >= (1, 1) else [*lost, "HTTP/1.1"]


def warn_of_upgrade(lost: list[str]) -> None:
    """Tell the operator, once a minute."""
    _upgrades.warn(", ".join(lost))

"""Which pages may connect: those of ALLOWED_ORIGINS, or else the node's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from sio_server.gateway.transport import lost_headers
from sio_server.gateway.transport.refusal_log import RefusalLog
from sio_server.protocol.errors import ErrorCode, Refused

log = logging.getLogger(__name__)


class Request(Protocol):
    """What is asked of a request."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def scheme(self) -> str: ...


class AllowedOrigins:
    """Checks the Origin header, which browsers send with each websocket and a page cannot change."""

    def __init__(self, allowed: Sequence[str]) -> None:
        """`allowed`: origins, or `*` for all; with none of them a page may connect to the host it came from."""
        self._allowed = frozenset(allowed)
        setting = ",".join([*allowed, "%s"])
        self._refusals = RefusalLog(log, f"a page was refused. To allow it, write ALLOWED_ORIGINS={setting}")
        self._lost = RefusalLog(
            log,
            "a page of %s was refused, since its request came to %s. If it is this server's own page, have the "
            f"proxy pass %s (docs/proxies.md), or write ALLOWED_ORIGINS={setting}",
        )

    def is_listed(self, origin: str) -> bool:
        """Whether the operator has listed this origin, or all."""
        return "*" in self._allowed or origin in self._allowed

    def is_named(self, origin: str) -> bool:
        """Whether the operator has listed just this origin: its pages may use this server's cookies."""
        return origin != "*" and origin in self._allowed

    def allows(self, request: Request) -> bool:
        """Whether the request is of a page that may connect; programs send no origin."""
        origin = request.headers.get("Origin")
        return origin is None or self.is_listed(origin) or (not self._allowed and origin in _own(request))

    def check(self, request: Request) -> None:
        """Raise Refused if the request is of a page that may not connect."""
        if self.allows(request):
            return
        origin = request.headers["Origin"]
        message = "pages of this origin may not connect to this server; its operator can add it to ALLOWED_ORIGINS"
        lost = [] if self._allowed else lost_headers.of_origin(origin, _own(request))
        if lost:
            headers = " and ".join(lost)
            self._lost.warn(origin, min(_own(request)), headers, origin)
            message += f", or, if this page is the server's own, have the proxy pass {headers}"
        else:
            self._refusals.warn(origin)
        raise Refused(ErrorCode.ORIGIN_NOT_ALLOWED, message, {"lost_headers": lost} if lost else None)


def _own(request: Request) -> set[str]:
    """The origin of the node's own page, also behind a proxy; no page can set these headers."""
    host = request.headers.get("Host", "")
    own = {f"{scheme}://{host}" for scheme in (request.scheme, _first(request, "X-Forwarded-Proto")) if scheme}
    forwarded_host = _first(request, "X-Forwarded-Host")
    if forwarded_host:
        own.add(f"{_first(request, 'X-Forwarded-Proto') or request.scheme}://{forwarded_host}")
    return own


def _first(request: Request, header: str) -> str:
    return request.headers.get(header, "").partition(",")[0].strip()

"""Which names this node answers to: a page of another site must not reach it under a name of its own.

The owner of a domain can let it point to any address (DNS rebinding). A browser then takes the node for a part of
the other site: `Host` and `Origin` agree, and only the name itself tells. Addresses and names of the own machine
cannot be rebound.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from sio_server.gateway.http.errors import Handler
from sio_server.gateway.transport.refusal_log import RefusalLog
from sio_server.protocol.errors import ErrorCode, Refused

log = logging.getLogger(__name__)

# Load balancers ask for these under any name, and their answers hold nothing private; below BASE_PATH.
UNCHECKED_PATHS = ("/healthz", "/ready")
# A Host header: an IPv6 address in brackets, or a name or an IPv4 address; perhaps a port.
_HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::\d*)?")


class AllowedHosts:
    """Names that are listed or belong to listed origins, IP addresses, localhost and this machine's name."""

    def __init__(
        self, listed: Iterable[str], *, origins: Iterable[str] = (), listens_on: str = "", base_path: str = ""
    ) -> None:
        """`listed`: names, `.example.com` for all names in a domain and itself, `*` for all names at all."""
        listed = [name.lower() for name in listed]
        machine = socket.gethostname().lower()
        self._all = "*" in listed
        self._domains = tuple(name for name in listed if name.startswith("."))
        self._names = {
            *listed,
            *(name[1:] for name in self._domains),
            *(urlsplit(origin).hostname or "" for origin in origins),
            *("localhost", machine, f"{machine}.local", listens_on.lower()),
        } - {""}
        self._unchecked = frozenset(base_path + path for path in UNCHECKED_PATHS)
        setting = ",".join([*listed, "%s"])
        self._refusals = RefusalLog(log, f"a request was refused. To serve it, write ALLOWED_HOSTS={setting}")

    def allows(self, host: str) -> bool:
        """Whether a Host header names this node, with or without a port."""
        name = _name_of(host)
        if self._all or name in self._names or name.endswith((".localhost", *self._domains)):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests under other names; a program may send none."""
        if request.path not in self._unchecked:
            for host in request.headers.getall("Host", []):
                if not self.allows(host):
                    self._refusals.warn(_name_of(host) or repr(host))
                    raise Refused(
                        ErrorCode.HOST_NOT_ALLOWED,
                        "this server does not answer to this name; its operator can add it to ALLOWED_HOSTS",
                    )
        return await handler(request)


def _name_of(host: str) -> str:
    """The name in a Host header, in lower case: without port and brackets; "" when it is no such header."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2] or "").lower().removesuffix(".") if found else ""

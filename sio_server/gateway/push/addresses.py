"""Which addresses notifications may be sent to: a client names them, so none of this network is among them."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

MAX_ENDPOINT = 2048  # characters


class NotPublic(OSError):
    """This address is not one of the public network."""


def refusal(endpoint: str, *, private: bool) -> str:
    """Why notifications are not sent to an endpoint, or ''. `private`: this network is allowed."""
    try:
        url = urlsplit(endpoint)
        host, _ = url.hostname, url.port
    except ValueError:
        return "is no URL"
    if url.scheme != "https" and not (private and url.scheme == "http"):
        return "should begin with https://"
    if not host or url.username is not None or url.password is not None:
        return "should name a host, and no user"
    if not private and _is_private(host):
        return "is an address of a private network"
    return ""


class PublicResolver(AbstractResolver):
    """Looks names up, and gives none of this network: whatever a name meant when it was checked."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [one for one in found if not _is_private(one["host"])]
        if not public:
            raise NotPublic(f"{host} is an address of a private network")
        return public

    async def close(self) -> None:
        await self._resolver.close()


def _is_private(host: str) -> bool:
    """Whether a host is an address that is not of the public network; a name is none."""
    try:
        address: Any = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global or address.is_multicast

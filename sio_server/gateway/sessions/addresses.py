"""The address to which a client is counted, also behind proxies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# Of an IPv6 address the network part counts: a client can choose the rest.
IPV6_PREFIX = 64


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted_proxies: int) -> str:
    """The address to which a request is counted; '' for one that must not be limited by its address.

    `forwarded_for`: the X-Forwarded-For headers. Each proxy adds the address of its own peer at the end; what
    comes before the entries of the `trusted_proxies` is written by the client, and not trusted. A request that
    came through fewer proxies is counted to the peer's address.

    A peer on loopback or in a private network is not counted: most likely it is a proxy that TRUSTED_PROXIES
    does not count, and all its clients would share one limit.
    """
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
    if trusted_proxies and len(hops) >= trusted_proxies:
        named = _parse(hops[-trusted_proxies])
        if named is not None:
            return _counted(named)
    own = _parse(peer or "")
    return "" if own is None or own.is_private or own.is_loopback or own.is_link_local else _counted(own)


@lru_cache(maxsize=1024)  # a peer is parsed twice, and those behind a proxy share few
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, which some proxies write with a port; None for what is no address."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _counted(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_PREFIX), strict=False))
    return str(address)

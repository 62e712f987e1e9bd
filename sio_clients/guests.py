"""Clients for guests, on servers in guest mode."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp

from sio_clients.client import ChatClient
from sio_clients.errors import NotConnected, from_wire

TIMEOUT_S = 5.0


async def guest_token(url: str, name: str) -> tuple[str, str]:
    """Ask a server in guest mode for a token; returns (user_id, token). Raises Refused or NotConnected."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http:
            async with http.post(f"{url.rstrip('/')}/api/guest", json={"name": name}) as response:
                body = await response.json()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
        raise NotConnected(f"{url}: {exc or 'no answer'}") from None
    if response.status != 200:
        raise from_wire(body.get("error"))
    return str(body["user_id"]), str(body["token"])


@contextlib.asynccontextmanager
async def connect_guest(urls: str | Sequence[str], name: str, **options: Any) -> AsyncIterator[ChatClient]:
    """A connected client for a guest of that name; `options` are those of ChatClient."""
    first = urls if isinstance(urls, str) else urls[0]
    _, token = await guest_token(first, name)
    async with ChatClient(urls, token, **options) as client:
        yield client

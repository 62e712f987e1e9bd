"""The other nodes, asked directly: for a node that has lost Redis and must know whether it is the only one."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from typing import Any

import aiohttp

from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 0.8
ASKED_AT_ONCE = 10
# Who has heard Redis so lately heard it when whoever asks had lost it long ago. When Redis is gone for all, nodes
# notice at different moments, and those that have not noticed yet must not be taken for well.
LATELY_MS = 2_400


class Peers:
    """Where other nodes may be reached: by their own words, kept from when Redis was there, and by the settings.

    An address may be a load balancer's: then whoever answers there is asked. Without any address nobody is known.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = tuple(urls)
        self._told: tuple[str, ...] = ()

    def learn(self, addresses: Iterable[str]) -> None:
        """The nodes have said that they are reached here."""
        self._told = tuple(addresses)

    async def one_is_well(self) -> bool:
        """Whether some node is ready and has heard Redis and the bus lately. Takes ASK_TIMEOUT_S at most."""
        urls = list(dict.fromkeys((*self._told, *self._urls)))
        if not urls:
            return False
        chosen = random.sample(urls, min(len(urls), ASKED_AT_ONCE))
        timeout = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            asking = [asyncio.create_task(_is_well(http, url)) for url in chosen]
            try:
                for answer in asyncio.as_completed(asking):
                    if await answer:
                        return True
            finally:
                await end_tasks(asking)
        return False


async def _is_well(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/ready", allow_redirects=False) as response:
            body: Any = await response.json()
            return response.status == 200 and max(body["heard_ms"].values()) < LATELY_MS
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        log.debug("a node does not say whether it is well: url=%s error=%s", url, exc)
        return False

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
# A node that heard Redis within this time heard it after the asking node had lost it. When Redis is gone for all,
# nodes notice at different moments, and those that have not noticed yet must not count as well.
LATELY_MS = 2_400


class Peers:
    """Where other nodes may be reached: as they say in Redis, kept from when it could be read, and by settings.

    An address may be a load balancer's: then any node may answer. Without any address no other node is known.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = tuple(urls)
        self._addresses: tuple[str, ...] = ()

    def learn(self, addresses: Iterable[str]) -> None:
        """The nodes are reached here, as they say in Redis."""
        self._addresses = tuple(addresses)

    async def one_is_well(self) -> bool:
        """Whether some node is ready and has heard Redis and the bus lately. Takes ASK_TIMEOUT_S at most."""
        urls = list(dict.fromkeys((*self._addresses, *self._urls)))
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
        async with http.get(f"{url}/ready?own", allow_redirects=False) as response:
            body: Any = await response.json()
            return response.status == 200 and max(body["heard_ms"].values()) < LATELY_MS
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        log.debug("a node does not say whether it is well: url=%s error=%s", url, exc)
        return False

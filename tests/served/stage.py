"""A cluster with a stage: two nodes, the controller, and readers of the trace."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from sio_server.local.cluster import LocalCluster
from sio_server.local.control import Controller
from sio_server.trace.contract import BEAT
from tests.waiting import Changes

KEY = "the-stage-key-of-these-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}

Event = dict[str, Any]


class Reader:
    """Reads the trace of a node and keeps it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.events: list[Event] = []
        self.beats = 0
        self.hello: Event = {}
        self._changes = Changes(lambda: self.events[-8:])

    async def open(self) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), read_bufsize=2**20)
        try:
            self._response = await self._http.get(f"{self._url}/api/trace", headers=BEARER)
            assert self._response.status == 200
            self.hello = json.loads(await self._response.content.readline())
        except BaseException:
            await self._http.close()
            raise
        self.over = asyncio.create_task(self._read())

    async def _read(self) -> None:
        """Ends when the stream does, in order."""
        async for line in self._response.content:
            event = json.loads(line)
            if event["kind"] == BEAT:
                self.beats += 1
            else:
                self.events.append(event)
            self._changes.changed()

    async def close(self) -> None:
        self.over.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await self.over
        self._response.close()
        await self._http.close()

    def named(self, *kinds: str, **fields: Any) -> list[Event]:
        """Events of these kinds (or any) with these fields, by the time of the node that told them."""
        found = [e for e in self.events if (not kinds or e["kind"] in kinds) and e.items() >= fields.items()]
        return sorted(found, key=lambda event: event["at"])

    async def until(self, holds: Callable[[], Any], what: str) -> Any:
        return await self._changes.until(holds, what)

    async def event(self, kind: str, **fields: Any) -> Event:
        """The first such event, come already or to come."""
        found = await self.until(lambda: self.named(kind, **fields), f"{kind} {fields}")
        return dict(found[0])


class Staged:
    """The cluster, its controller, and who reads."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.controller = Controller(cluster, KEY)
        self._readers: list[Reader] = []

    async def start(self) -> None:
        await self.controller.start()
        self.cluster.settings |= {"STAGE_KEY": KEY, "STAGE_CONTROL": self.controller.url}
        await self.cluster.start()

    async def reader(self, node: int = 0) -> Reader:
        reader = Reader(self.cluster.urls[node])
        await reader.open()
        self._readers.append(reader)
        return reader

    async def close_readers(self) -> None:
        while self._readers:
            await self._readers.pop().close()

    async def ask(
        self, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Ask the controller; status and JSON."""
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                method, self.controller.url + path, json=body, headers=BEARER if headers is None else headers
            ) as response,
        ):
            return response.status, await response.json()

    async def stop(self) -> None:
        await self.controller.close()
        await self.cluster.stop()

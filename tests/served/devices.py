"""Devices that keep everything they hear, and wait for what shall come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sio_clients import ChatClient, guest_token
from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.events import Entry, ServerEvent
from tests.barrier import settled
from tests.waiting import WAIT_S, Changes

LANGGRAPH_JSON = str(Path(__file__).with_name("langgraph.json"))
HEARD = (ServerEvent.RUN_CHANGED, ServerEvent.RUN_WRITTEN)
FINAL = ("answer", "interrupt", "stopped", "failed")

T = TypeVar("T")


class Device:
    """A client that follows one conversation."""

    def __init__(self, client: ChatClient, token: str) -> None:
        self.client = client
        self.token = token
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.times: list[float] = []  # when each event came
        self.entries: list[Entry] = []
        self.entry_times: list[float] = []
        self._changes = Changes(self._state)
        self._follower: asyncio.Task[None] | None = None
        for event in HEARD:
            client.on(event, partial(self._hear, event))

    def follow(self, conversation: Conversation) -> Conversation:
        """Keep the conversation's entries."""
        self.conversation = conversation
        self._follower = asyncio.create_task(self._follow())
        return conversation

    async def close(self) -> None:
        await self.client.close()
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)

    def named(self, event: str) -> list[dict[str, Any]]:
        return [payload for name, payload in self.events if name == event]

    def of_type(self, *types: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.type in types]

    async def until(self, found: Callable[[], T | None], what: str = "", timeout: float = WAIT_S) -> T:
        """Wait until `found()` is something, looking again at everything that comes."""
        return await self._changes.until(found, what, timeout)

    def _state(self) -> str:
        kinds = [(entry.seq, entry.type) for entry in self.entries]
        return f"online: {self.client.online}, entries: {kinds}, last events: {self.events[-3:]}"

    async def event(self, name: str, **fields: Any) -> dict[str, Any]:
        """The first such event with these fields, come already or to come."""
        return await self.until(
            lambda: next((p for p in self.named(name) if p.items() >= fields.items()), None), f"{name} {fields}"
        )

    def told_of(self, run_id: str | None) -> list[dict[str, Any]]:
        """What `run:changed` has told of a run, so far."""
        return [told["run"] for told in self.named("run:changed") if told["run"]["run_id"] == run_id]

    async def begun(self, run_id: str | None, version: int = 1) -> dict[str, Any]:
        """What is told when a node begins this version of a run."""
        return await self.until(
            lambda: next(
                (r for r in self.told_of(run_id) if (r["status"], r["version"]) == ("running", version)), None
            ),
            f"version {version} of {run_id}",
        )

    def written(self, run_id: str | None) -> list[str]:
        """The texts that a run has been told to write, so far."""
        return [part["text"] for told in self._written(run_id) for part in told["parts"]]

    def reports(self, run_id: str | None) -> list[dict[str, Any]]:
        """What a run has reported, so far."""
        return [report for told in self._written(run_id) for report in told["reports"]]

    def _written(self, run_id: str | None) -> list[dict[str, Any]]:
        return [told for told in self.named("run:written") if told["run_id"] == run_id]

    async def entry(self, type: str, **fields: Any) -> Entry:
        """The first such entry with these fields in its data, come already or to come."""
        return await self.until(
            lambda: next((e for e in self.of_type(type) if e.data.items() >= fields.items()), None),
            f"{type} {fields}",
        )

    async def ended(self, run_id: str | None) -> Entry:
        """The final entry of a run."""
        assert run_id, "nobody answers"
        return await self.until(
            lambda: next((e for e in self.of_type(*FINAL) if e.data["run_id"] == run_id), None), f"end of {run_id}"
        )

    async def says(self, run_id: str | None, text: str) -> None:
        """Wait until the run has been shown to say this, as this device follows it."""
        assert run_id, "nobody answers"
        await self.until(lambda: text in self.text_of(run_id), f"{text!r} of {run_id}")

    def text_of(self, run_id: str) -> str:
        run = self.conversation.runs.get(run_id)
        return run.text if run else ""

    def time_of(self, entry: Entry) -> float:
        return self.entry_times[self.entries.index(entry)]

    async def settled(self) -> None:
        """Wait until all that was published before has come, so that what has not come does not come."""
        await settled(self.client)

    def _hear(self, event: str, payload: dict[str, Any]) -> None:
        self.events.append((event, payload))
        self.times.append(asyncio.get_running_loop().time())
        self._changes.changed()

    async def _follow(self) -> None:
        with contextlib.suppress(Exception):
            async for entry in self.conversation.entries():
                self.entries.append(entry)
                self.entry_times.append(asyncio.get_running_loop().time())
                self._changes.changed()


class Devices:
    """Makes devices at the nodes of a cluster."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self._made: list[Device] = []

    async def connect(
        self, name: str = "Ann", *, node: int = 0, of: Device | None = None, **options: Any
    ) -> Device:
        """A device of a new user, or another device `of` the same one."""
        urls = self.cluster.urls
        token = of.token if of else (await guest_token(urls[node], name))[1]
        client = ChatClient(urls[node:] + urls[:node], token, device_name=f"{name}'s {len(self._made)}", **options)
        device = Device(client, token)
        self._made.append(device)
        await client.connect()
        return device

    async def start(self, graph: str, name: str = "Ann", *, node: int = 0, **settings: Any) -> Device:
        """A device with a new conversation, open to all."""
        device = await self.connect(name, node=node)
        device.follow(await device.client.create(graph=graph, access="open", **settings))
        return device

    async def join(self, other: Device, name: str = "Bob", *, node: int = 1, same_user: bool = False) -> Device:
        """A device that follows the conversation of another."""
        device = await self.connect(name, node=node, of=other if same_user else None)
        device.follow(await device.client.join(other.conversation.id))
        return device

    async def close(self) -> None:
        await asyncio.gather(*(device.close() for device in self._made))


@contextlib.asynccontextmanager
async def devices_of(cluster: LocalCluster) -> AsyncIterator[Devices]:
    devices = Devices(cluster)
    try:
        yield devices
    finally:
        await devices.close()

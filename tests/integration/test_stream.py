"""A conversation's stream: one order of entries and runs, numbered without a gap, and what is current in it."""

from __future__ import annotations

from typing import Any

import pytest

from sio_server.protocol.events import STREAM_EVENTS
from tests.conftest import RawClient
from tests.waiting import WAIT_S


class Follower:
    """A raw client in one conversation, and the stream that it gets."""

    def __init__(self, client: RawClient, conversation_id: str) -> None:
        self.client = client
        self.conversation_id = conversation_id
        self._requests = 0

    @property
    def stream(self) -> list[tuple[str, dict[str, Any]]]:
        """The events of the conversation's stream, as they came."""
        return [
            (name, payload)
            for name, payload in self.client.events
            if name in STREAM_EVENTS and payload["conversation_id"] == self.conversation_id
        ]

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [payload for name, payload in self.stream if name == "entry:appended"]

    async def call(self, event: str, **fields: Any) -> dict[str, Any]:
        ack = await self.client.call(event, {"conversation_id": self.conversation_id, **fields})
        assert ack["ok"], ack
        return dict(ack)

    async def send(self, text: str, event: str = "message:send", **fields: Any) -> dict[str, Any]:
        self._requests += 1
        return await self.call(event, request_id=f"m-{self._requests}", text=text, **fields)

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The final entry of a run."""
        return await self.entry(lambda entry: entry["type"] != "message" and entry["data"].get("run_id") == run_id)

    async def entry(self, wanted: Any) -> dict[str, Any]:
        await self.client.until(lambda: any(wanted(entry) for entry in self.entries), WAIT_S)
        return next(entry for entry in self.entries if wanted(entry))

    async def page(self) -> list[dict[str, Any]]:
        return list((await self.call("history:read", after=0, limit=200))["entries"])

    async def snapshot(self) -> dict[str, Any]:
        answer = await self.client.call("session:sync", {"positions": {self.conversation_id: None}})
        return dict(answer["conversations"][self.conversation_id])

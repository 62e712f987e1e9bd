"""Messages of the bus in tests: hear them, read them, and publish false ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from redis.asyncio import Redis


class Heard(NamedTuple):
    """A message: the fields of its head, and the event and payload of its frame, if it has one."""

    head: list[str]
    event: str
    payload: Any


def read_message(text: str) -> Heard:
    """Read a message as the project's nodes and clients do together."""
    head, _, body = text.partition("\n")
    if not body.startswith("42"):
        return Heard(head.split(" "), "", json.loads(body) if body else None)
    event, payload = json.loads(body[2:])
    return Heard(head.split(" "), event, payload)


def framed(head: str, event: str, payload: Any) -> str:
    """A message with this head and event."""
    return f"{head}\n42" + json.dumps([event, payload], ensure_ascii=False, separators=(",", ":"))


def entry_message(entry: dict[str, Any], about: str = "-") -> str:
    """The message of an entry, with a head that says the same as the entry."""
    head = " ".join(str(entry[name]) for name in ("n", "epoch", "seq", "ts", "type"))
    return framed(f"E {head} {about}", "entry:appended", entry)


class Ear:
    """The messages of some channels, in their order."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    async def text(self, timeout: float = 5.0) -> str:
        """The next message as it was published."""
        async with asyncio.timeout(timeout):
            async for message in self._pubsub.listen():
                if message["type"] == "smessage":
                    return str(message["data"])
        raise AssertionError("the subscription has ended")

    async def next(self, timeout: float = 5.0) -> Heard:
        """The next message."""
        return read_message(await self.text(timeout))


@asynccontextmanager
async def hearing(redis: Redis, *channels: str) -> AsyncIterator[Ear]:
    """Subscribe to channels; all that is published from here on is heard."""
    async with redis.pubsub() as pubsub:
        await pubsub.ssubscribe(*channels)
        confirmed = 0
        while confirmed < len(channels):
            message = await pubsub.get_message(timeout=5)
            assert message is not None, "the subscription was not confirmed"
            confirmed += message["type"] == "ssubscribe"
        yield Ear(pubsub)


@asynccontextmanager
async def bus_lost(redis: Redis) -> AsyncIterator[None]:
    """All subscriptions are lost, and none is back before the block ends: Redis refuses connections until then.

    What the block does runs on connections that are open already.
    """
    most = str((await redis.config_get("maxclients"))["maxclients"])
    await redis.config_set("maxclients", 1)
    try:
        await redis.client_kill_filter(_type="pubsub", skipme=False)
        yield
    finally:
        await redis.config_set("maxclients", most)

"""One primary of a Redis Cluster as the bus sees it, and a channel that is subscribed on one."""

from __future__ import annotations

import asyncio
import time

from sio_server.gateway.fanout.subscriptions import Channel
from sio_server.store.slots import Server
from sio_server.store.wire import Wire


class ShardedChannel(Channel):
    """A channel, and where it is subscribed, or to be subscribed."""

    __slots__ = ("missed", "shard", "slot")

    def __init__(self, room: str, slot: int) -> None:
        super().__init__(room)
        self.slot = slot
        self.shard: Shard | None = None
        self.missed = False  # it was confirmed, and is not: messages may have been missed

    def unconfirm(self) -> None:
        """It is not subscribed any more."""
        if self.confirmed:
            self.confirmed, self.missed = False, True


class Shard:
    """A primary, and the connection on which its channels are subscribed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.since = time.monotonic()
        self.wire: Wire | None = None
        self.task: asyncio.Task[None] | None = None
        self.names: set[bytes] = set()  # channels that are, or are to be, subscribed here
        # Channels whose confirmation has not come -> slot, in the order of sending.
        self.sent: dict[bytes, int] = {}
        self.label = ""  # of the channel of heartbeats
        self.heartbeats = b""
        self.weight = 0  # how many partitions it has
        self.heard_at = -float("inf")
        self.answered_at = -float("inf")
        self.was_away = False

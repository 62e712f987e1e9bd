"""The bus: what nodes tell each other, one channel for each conversation and each user.

Three things differ from python-socketio's Redis manager, each for a promise:
- `emit` only publishes. A node serves its own clients when it receives the event, as every other node does;
  the stock manager serves local clients first, which gives each node another order.
- It is subscribed to the channels of the rooms that have sessions here, and to no other. It reconnects within a
  second, and reports it (`on_resubscribed`), so that what was missed is read from the log.
- It receives its own heartbeat, so that a node which has gone deaf notices.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import socketio
from redis.exceptions import RedisError

from sio_server.gateway.fanout.rooms import LocalRooms
from sio_server.gateway.fanout.sharded import ShardedSubscriptions
from sio_server.gateway.fanout.subscriptions import OnMessage, Subscriptions
from sio_server.store.connection import connect
from sio_server.store.emitter import Emitter
from sio_server.store.keys import heartbeat_channel
from sio_server.store.scripts import Scripts
from sio_server.store.shard_health import ShardHealth

log = logging.getLogger(__name__)

AGAIN_S = 0.2  # until the next attempt to subscribe: Redis may be back


class Bus(LocalRooms, socketio.AsyncRedisManager):  # type: ignore[misc]
    """The client manager of a node's Socket.IO server: local rooms, and the channels that the nodes share."""

    def __init__(self, redis_url: str, node_id: str) -> None:
        super().__init__(redis_url, channel="rg:unused")  # of the library, whose messages no node hears
        self._heartbeats = heartbeat_channel(node_id)
        self._publisher = connect(redis_url)
        self._scripts = Scripts(self._publisher)
        self._emitter = Emitter(self._scripts)
        routed = self._publisher.routed
        self._sharded = ShardedSubscriptions(routed, node_id) if routed is not None else None
        self._subscriptions = self._sharded or Subscriptions(redis_url, self._heartbeats)

    @property
    def heard_at(self) -> float:
        """When the node last heard itself on the bus (monotonic)."""
        return self._subscriptions.heard_at

    @property
    def redis_heard_at(self) -> float | None:
        """When most of the shards of a Redis Cluster have answered last (monotonic); None: there are none."""
        return self._sharded.answered_at if self._sharded is not None else None

    def shards(self) -> list[ShardHealth]:
        """How each shard of a Redis Cluster is; none of a single Redis."""
        return self._sharded.shards() if self._sharded is not None else []

    @property
    def has_shards(self) -> bool:
        """Whether this is a Redis Cluster, of which a part may be away."""
        return self._sharded is not None

    def hear_bells(self, on_bell: Callable[[int], None]) -> None:
        """On a Redis Cluster, call this with the partition of each bell of the run queue that is rung."""
        if self._sharded is not None:
            self._sharded.hear_bells(on_bell)

    @property
    def messages(self) -> int:
        """How many messages this node has heard, without heartbeats."""
        return self._subscriptions.messages

    @property
    def channels(self) -> int:
        """How many channels of rooms this node is subscribed to."""
        return self._subscriptions.channel_count

    def initialize(self) -> None:
        """Called by the server on its first connection; `listen` is started before that, by the node."""

    async def close(self) -> None:
        """Publish what waits, and close the connections for publishing."""
        await self._emitter.close()
        await self._publisher.aclose()

    # Publishing

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        """Publish an event to a room on all nodes. It may be lost; nothing may depend on it."""
        room = to or room
        if not room or callback is not None or skip_sid is not None:
            # An emit without a room would reach clients that are still being authenticated.
            raise ValueError("an event goes to a named room, without callback or skip_sid")
        await self._emitter.emit(event, data, room)

    def emit_soon(self, events: Iterable[tuple[str, Any, str]]) -> None:
        """Publish events (name, payload, room) in the background, together. They may be lost."""
        self._emitter.emit_soon(events)

    async def publish_heartbeat(self) -> None:
        """Publish this node's heartbeat to itself, as scripts publish: a node that does not hear it is deaf."""
        if self._sharded is not None:
            self._sharded.beat()
            return
        await self._scripts.plain("publish", [self._heartbeats], message="")

    # Listening

    async def subscribe(self, channel: str) -> None:
        """Hold a channel; returns when Redis has confirmed it. Raises Unavailable, and then it is not held."""
        await self._subscriptions.subscribe(channel)

    def hold(self, channel: str) -> None:
        """Hold a channel without waiting for its confirmation."""
        self._subscriptions.hold(channel)

    def release(self, channel: str) -> None:
        """One holder of the channel less; it is unsubscribed some seconds after the last."""
        self._subscriptions.release(channel)

    @asynccontextmanager
    async def subscribed(self, *channels: str) -> AsyncIterator[None]:
        """Hold channels, confirmed, for as long as this context lasts. Raises Unavailable."""
        await self._subscriptions.subscribe(*channels)
        try:
            yield
        finally:
            self._subscriptions.release(*channels)

    @asynccontextmanager
    async def some_subscribed(self, *channels: str) -> AsyncIterator[set[str]]:
        """As `subscribed`; gives those that Redis has confirmed, since on a Redis Cluster one shard may be away.

        Raises Unavailable elsewhere, where all are on one connection.
        """
        if self._sharded is None:
            async with self.subscribed(*channels):
                yield set(channels)
            return
        held = await self._sharded.subscribe_some(*channels)
        try:
            yield held
        finally:
            self._sharded.release(*held)

    async def listen(self, on_message: OnMessage, on_resubscribed: Callable[[set[str] | None], None]) -> None:
        """Subscribe and listen, until cancelled; connect again whenever the connection is lost or silent.

        `on_message` is called with the room of the channel and each message, in the order of the channel;
        `on_resubscribed` with None when all channels have been confirmed, since anything may have been missed
        before it; on a Redis Cluster with the rooms whose channels have been.
        """
        if self._sharded is not None:
            await self._sharded.listen_to_shards(on_message, on_resubscribed)
            return
        lost = False

        def on_subscribed() -> None:
            nonlocal lost
            lost = False
            on_resubscribed(None)

        while True:
            try:
                await self._subscriptions.listen(on_message, on_subscribed)
            except (RedisError, OSError, TimeoutError) as exc:
                if not lost:  # logged once, however long it lasts
                    log.warning("the bus is lost, trying again: error=%s", exc)
                lost = True
            except Exception:
                # A node that no longer listens would be worse than whatever this is.
                log.exception("listening to the bus failed, trying again")
            await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.0))

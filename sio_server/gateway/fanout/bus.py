"""The bus: what nodes tell each other, on python-socketio's Redis manager.

Three things differ from the stock manager, each for a promise:
- `emit` only publishes. A node serves its own clients when it receives the event, as every other node does;
  the stock manager serves local clients first, which gives each node another order.
- It reconnects within a second, and reports it (`on_resubscribed`), so that what was missed is read from the log.
- It receives its own heartbeat, so that a node which has gone deaf notices.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Callable
from typing import Any

import socketio
from redis.exceptions import RedisError

from sio_server.gateway.fanout.bus_messages import BusEvent, parse_bus_message
from sio_server.gateway.fanout.rooms import LocalRooms
from sio_server.store.connection import connect, connect_blocking
from sio_server.store.keys import BUS, heartbeat_channel

log = logging.getLogger(__name__)

LISTEN_S = 1.0
SILENT_AFTER_S = 2.5  # without a heartbeat, which comes each second, the connection is then taken for dead
AGAIN_S = 0.2  # until the next attempt to subscribe: Redis may be back
CLOSE_S = 1.0  # for a connection to end in order
LOST_FOR_S = 1.0  # after an event that could not be published, others are not tried for so long


class Bus(LocalRooms, socketio.AsyncRedisManager):  # type: ignore[misc]
    """The client manager of a node's Socket.IO server: local rooms, and the channel that all nodes share."""

    def __init__(self, redis_url: str, node_id: str) -> None:
        super().__init__(redis_url, channel=BUS)
        self._node_id = node_id
        self._heartbeats = heartbeat_channel(node_id)
        self._publisher = connect(redis_url, max_connections=16)
        self._lost_until = -float("inf")
        self.heard_at = -float("inf")  # monotonic: when the node last heard itself on the bus
        self._rejected = 0  # messages that were no events of ours

    def initialize(self) -> None:
        """Called by the server on its first connection; `listen` is started before that, by the node."""

    async def close(self) -> None:
        """Close the connections for publishing."""
        await self._publisher.aclose()

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
        message = {
            "method": "emit",
            "event": event,
            "data": [data],
            "binary": False,
            "namespace": "/",
            "room": room,
            "skip_sid": None,
            "callback": None,
            "host_id": self._node_id,
        }
        if time.monotonic() < self._lost_until:
            return  # a caller with many events must not wait for each of them
        try:
            await self._publisher.publish(BUS, json.dumps(message, ensure_ascii=False, separators=(",", ":")))
        except (RedisError, OSError) as exc:
            self._lost_until = time.monotonic() + LOST_FOR_S
            log.info("an ephemeral event was lost: event=%s error=%s", event, exc)

    async def publish_heartbeat(self) -> None:
        """Publish this node's heartbeat to itself."""
        await self._publisher.publish(self._heartbeats, "1")

    async def listen(self, on_event: Callable[[BusEvent], None], on_resubscribed: Callable[[], None]) -> None:
        """Subscribe and listen, until cancelled; connect again whenever the connection is lost or silent.

        `on_event` is called for every event, in the order of the bus; `on_resubscribed` whenever a subscription
        has been confirmed, since anything may have been missed before it.
        """
        lost = False
        while True:
            client = connect_blocking(self.redis_url, block_s=LISTEN_S)
            began = time.monotonic()
            try:
                async with client.pubsub() as pubsub:
                    async with asyncio.timeout(SILENT_AFTER_S):
                        await pubsub.subscribe(BUS, self._heartbeats)
                    while True:
                        message = await pubsub.get_message(timeout=LISTEN_S)
                        if message is not None:
                            lost = False
                            if message["type"] == "subscribe":
                                began = time.monotonic()
                            self._on_message(message, on_event, on_resubscribed)
                        # A silent connection is a dead one, though nobody has closed it.
                        if time.monotonic() - max(began, self.heard_at) > SILENT_AFTER_S:
                            raise TimeoutError("no heartbeat of our own came back")
            except (RedisError, OSError, TimeoutError, UnicodeDecodeError) as exc:
                if not lost:  # logged once, however long it lasts
                    log.warning("the bus is lost, trying again: error=%s", exc)
                lost = True
            except Exception:
                # A node that no longer listens would be worse than whatever this is.
                log.exception("listening to the bus failed, trying again")
            finally:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    async with asyncio.timeout(CLOSE_S):
                        await client.aclose()
            await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.0))

    def _on_message(
        self,
        message: dict[str, Any],
        on_event: Callable[[BusEvent], None],
        on_resubscribed: Callable[[], None],
    ) -> None:
        # The client library may subscribe again by itself after a lost connection: any confirmation means
        # that events before it may have been missed.
        if message["type"] == "subscribe":
            if message["channel"] == BUS:
                on_resubscribed()
            return
        if message["channel"] == self._heartbeats:
            self.heard_at = time.monotonic()
            return
        event = parse_bus_message(message["data"])
        if event is None:
            self._rejected += 1
            if self._rejected & (self._rejected - 1) == 0:  # 1, 2, 4, 8, ...: there may be many
                log.warning("a message on the bus is no event of ours: ignored, count=%d", self._rejected)
            return
        try:
            on_event(event)
        except Exception:
            log.exception("an event of the bus could not be handled: event=%s", event.name)

"""The bus: what nodes tell each other, on python-socketio's Redis manager.

Four things differ from the stock manager, the first three for a promise:
- `emit` only publishes. A node serves its own clients when it hears the event, as every other node does;
  the stock manager serves local clients first, which gives each node another order.
- It reconnects within a second, and says so (`on_return`), so that what was missed is read from the log.
- It hears its own heartbeat, so that a node which has gone deaf knows it.
- It knows the rooms of a session, so that the end of one costs the same however many rooms there are.
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
from engineio.packet import Packet as EnginePacket
from redis.exceptions import RedisError
from socketio.packet import EVENT

from sio_server.gateway.fanout.bus_messages import understand
from sio_server.gateway.transport.outbound import event_frame
from sio_server.store.connection import connect, connect_blocking
from sio_server.store.keys import BUS, heartbeat_channel
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

LISTEN_S = 1.0
SILENT_AFTER_S = 2.5  # without a heartbeat, which comes each second, for so long the connection is taken for dead
AGAIN_S = 0.2  # until the next try to listen: Redis may be back
CLOSE_S = 1.0  # for a connection to end in order
LOST_FOR_S = 1.0  # after an event that could not be published others are not tried


class Bus(socketio.AsyncRedisManager):  # type: ignore[misc]
    """The client manager of a node's Socket.IO server.

    `on_event(event, payload, room)` is called, in the order of the bus, for every event heard;
    `on_return()` whenever listening has begun anew, since anything may have been missed before.
    """

    def __init__(self, redis_url: str, node_id: str) -> None:
        super().__init__(redis_url, channel=BUS)
        self._node_id = node_id
        self._heartbeats = heartbeat_channel(node_id)
        self._publisher = connect(redis_url, max_connections=16)
        self._rooms_of: dict[str, set[Any]] = {}  # session id -> the rooms it is in
        self._lost_until = -float("inf")
        self.heard_at = -float("inf")  # monotonic: when the node heard itself on the bus last
        self._strange = 0  # messages that were not understood
        self._listener: asyncio.Task[None] | None = None
        self.on_event: Callable[[str, Any, Any], None] = lambda event, payload, room: None
        self.on_return: Callable[[], None] = lambda: None

    def initialize(self) -> None:
        """Called by the server on its first connection; listening has begun before that, in `start`."""

    def start(self) -> None:
        """Begin to listen."""
        self._listener = asyncio.create_task(self._listen_forever(), name="bus-listener")

    async def stop(self) -> None:
        """Stop listening and close the connections."""
        await end_tasks([self._listener])
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
            return  # who has many to tell must not wait for each of them
        try:
            await self._publisher.publish(BUS, json.dumps(message, ensure_ascii=False, separators=(",", ":")))
        except (RedisError, OSError) as exc:
            self._lost_until = time.monotonic() + LOST_FOR_S
            log.info("an ephemeral event was lost: event=%s error=%s", event, exc)

    async def heartbeat(self) -> None:
        """Say something to oneself over the bus."""
        await self._publisher.publish(self._heartbeats, "1")

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid)
        self._rooms_of.setdefault(sid, set()).add(room)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        self._rooms_of.get(sid, set()).discard(room)

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:
        """As the stock manager does, which looks through all rooms of the node for the session."""
        for room in self._rooms_of.pop(sid, set()):
            super().basic_leave_room(sid, namespace, room)
        for pending in (self.pending_connect, self.pending_disconnect):
            waiting = pending.get(namespace, [])
            if sid in waiting:
                waiting.remove(sid)
                if not waiting:
                    del pending[namespace]

    def deliver(self, room: Any, event: str, payload: Any) -> int:
        """Put an event into the outbound queues of this node's sessions in a room; return how many.

        Synchronous, so that nothing can come between two entries; encoded once for all sessions.
        """
        frame: EnginePacket | None = None
        count = 0
        for _sid, eio_sid in self.get_participants("/", room):
            socket = self.server.eio.sockets.get(eio_sid)
            if socket is None or socket.closed:
                continue
            if frame is None:
                packet = self.server.packet_class(EVENT, namespace="/", data=[event, payload])
                frame = event_frame(packet.encode())
            # A session that takes too little is ended here.
            count += socket.queue.put_event(frame)
        return count

    async def _listen_forever(self) -> None:
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
                            self._hear(message)
                            lost = False
                            if message["type"] == "subscribe":
                                began = time.monotonic()
                        # A silent connection is a dead one, though nobody has closed it.
                        if time.monotonic() - max(began, self.heard_at) > SILENT_AFTER_S:
                            raise TimeoutError("no heartbeat of our own came back")
            except (RedisError, OSError, TimeoutError, UnicodeDecodeError) as exc:
                if not lost:  # said once, however long it lasts
                    log.warning("the bus is lost, trying again: error=%s", exc)
                lost = True
            except Exception:
                # A node that listens no more would be worse than whatever this is.
                log.exception("listening to the bus went wrong, trying again")
            finally:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    async with asyncio.timeout(CLOSE_S):
                        await client.aclose()
            await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.0))

    def _hear(self, message: dict[str, Any]) -> None:
        # The client library may subscribe again by itself after a lost connection: any confirmation means
        # that events before it may have been missed.
        if message["type"] == "subscribe":
            if message["channel"] == BUS:
                self.on_return()
            return
        if message["channel"] == self._heartbeats:
            self.heard_at = time.monotonic()
            return
        heard = understand(message["data"])
        if heard is None:
            self._strange += 1
            if self._strange & (self._strange - 1) == 0:  # 1, 2, 4, 8, ...: it may go on
                log.warning("the bus said what is not an event of ours: ignored, count=%d", self._strange)
            return
        try:
            self.on_event(*heard)
        except Exception:
            log.exception("an event of the bus could not be handled: event=%s", heard.event)

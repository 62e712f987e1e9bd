"""The channels of the bus on a Redis Cluster: one connection to each primary, which has those of its slots.

Each connection is lost, and comes back, by itself: only its channels are subscribed again, and only their rooms
are read again. So is a channel whose slot has moved: its old primary ends the subscription, and the new one is
asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from sio_server.gateway.fanout.shard import Shard, ShardedChannel
from sio_server.gateway.fanout.subscriptions import (
    CHECK_S,
    SILENT_AFTER_S,
    UNSUBSCRIBE_AFTER_S,
    Channel,
    OnMessage,
    Subscriptions,
    is_unknown_command,
)
from sio_server.store.keys import bells, room_of, shard_heartbeat_channel
from sio_server.store.partitions import PARTITIONS, TAGS, tag
from sio_server.store.routed import RoutedPipelined
from sio_server.store.shard_health import AWAY_AFTER_S, ShardHealth
from sio_server.store.slots import Server, name_of, slot_of
from sio_server.store.wire import Wire, pack
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

AGAIN_S = 0.2  # until the next attempt to connect
MAX_AGAIN_S = 2.0  # the same, while the server says that the cluster is down
_LABELS = 2 * 16_384  # tried for slots without a partition
_TAG_SLOTS = [slot_of(tag(number)) for number in range(PARTITIONS)]

OnResubscribed = Callable[[set[str]], None]  # the rooms whose messages may have been missed


class ShardedSubscriptions(Subscriptions):
    """The same for a Redis Cluster. `heard_at` and `answered_at` are those of the shards with most partitions."""

    def __init__(self, routed: RoutedPipelined, node_id: str) -> None:
        super().__init__("", "")
        self._routed = routed
        self._node_id = node_id
        self._shards: dict[Server, Shard] = {}
        self._unplaced: set[bytes] = set()  # channels whose slot has no primary, as far as it is known
        self._returned: set[str] = set()  # rooms that are to be read again
        self._on_resubscribed: OnResubscribed = lambda rooms: None
        self._listening = False
        self._changed = asyncio.Event()
        self._is_stale = False  # a server has said that a slot has moved, and not to where
        self._bells: dict[bytes, int] = {}
        self._on_bell: Callable[[int], None] = lambda number: None
        self.answered_at = -float("inf")  # monotonic: when Redis answered last
        routed.on_changed = self._changed.set

    @property
    def channel_count(self) -> int:
        """How many channels of rooms there are."""
        return len(self._channels) - len(self._bells)

    def hear_bells(self, on_bell: Callable[[int], None]) -> None:
        """Call this with the partition of each bell that is told on the bus."""
        self._on_bell = on_bell
        for number in range(PARTITIONS):
            self._bells[bells(number).encode()] = number
            self.hold(bells(number))

    def _new_channel(self, channel: str) -> Channel:
        room = "" if channel.encode() in self._bells else room_of(channel)
        return ShardedChannel(room, slot_of(channel))

    def _get(self, name: bytes) -> ShardedChannel | None:
        known = self._channels.get(name)
        return known if isinstance(known, ShardedChannel) else None

    def shards(self) -> list[ShardHealth]:
        """How each shard is."""
        now = time.monotonic()
        return [
            ShardHealth(
                name_of(one.server), now - max(one.answered_at, one.since), now - max(one.heard_at, one.since)
            )
            for one in self._shards.values()
        ]

    def beat(self) -> None:
        """Publish a heartbeat on each shard; none waits for another."""
        for shard in self._shards.values():
            if shard.heartbeats:
                channel = shard.heartbeats.decode()
                # A script on that key would be sent to where the slot is moving, and nobody is subscribed there.
                sent = self._routed.send_once(pack(("SPUBLISH", channel, "")), channel)
                if sent is not None:
                    sent.add_done_callback(partial(self._on_beat, shard))

    def _on_beat(self, shard: Shard, sent: asyncio.Future[Any]) -> None:
        if not sent.cancelled() and sent.exception() is None:
            shard.answered_at = time.monotonic()
            self.answered_at = self._most("answered_at")

    # Holding

    def _hold(self, channel: str) -> Channel:
        name = channel.encode()
        is_new = name not in self._channels
        known = super()._hold(channel)
        if is_new and self._listening:
            self._place(name)
        return known

    @property
    def _is_connected(self) -> bool:
        return self._listening

    def _send_unsent(self) -> None:
        self._unsent.clear()  # each channel is sent when it has its place

    def _place(self, name: bytes) -> None:
        """Subscribe a channel on the primary that has its slot, if that is known and another one than now."""
        known = self._get(name)
        assert known is not None
        server = self._routed.primary(known.slot)
        shard = self._shards.get(server) if server is not None else None
        if known.shard is not None:
            if known.shard is shard:
                return
            self._lose(name, known)
        if shard is None:
            self._unplaced.add(name)
            return
        self._unplaced.discard(name)
        known.shard = shard
        shard.names.add(name)
        self._ask(shard, name, known)

    @staticmethod
    def _ask(shard: Shard, name: bytes, known: ShardedChannel) -> None:
        if shard.wire is not None:
            shard.sent[name] = known.slot
            shard.wire.send(["SSUBSCRIBE", name])

    @staticmethod
    def _lose(name: bytes, known: ShardedChannel) -> None:
        """A channel is not subscribed where it was."""
        shard, known.shard = known.shard, None
        if shard is not None:
            shard.names.discard(name)
            shard.sent.pop(name, None)
        known.unconfirm()

    # Listening

    async def listen_to_shards(self, on_message: OnMessage, on_resubscribed: OnResubscribed) -> None:
        """Subscribe and listen on all shards, until cancelled.

        `on_resubscribed` is called with the rooms whose channels are confirmed again after they were not.
        """
        self._on_message, self._on_resubscribed = on_message, on_resubscribed
        watching = asyncio.create_task(self._routed.watch(), name="slots")
        self._listening = True
        self._changed.set()
        try:
            while True:
                if self._is_stale or not self._routed.servers:
                    self._is_stale = False
                    with contextlib.suppress(RedisError):
                        await self._routed.refresh()
                if self._changed.is_set() or self._unplaced:
                    self._changed.clear()
                    self._arrange()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_S):
                        await self._changed.wait()
                self._unsubscribe_all_unheld(time.monotonic())
                self._tell_of_shards()
        finally:
            self._listening = False
            shards, self._shards = list(self._shards.values()), {}
            await end_tasks([watching, *(shard.task for shard in shards)])
            for name in list(self._channels):
                if (known := self._get(name)) is not None:
                    self._lose(name, known)

    def _arrange(self) -> None:
        """One shard for each primary, and each channel at its own."""
        servers = self._routed.servers
        gone = [self._shards.pop(server) for server in list(self._shards) if server not in servers]
        for server in servers:
            if server not in self._shards:
                shard = self._shards[server] = Shard(server)
                if gone:  # it takes the place of another one
                    shard.heard_at = min(one.heard_at for one in gone)
                    shard.answered_at = min(one.answered_at for one in gone)
                shard.task = asyncio.create_task(self._keep(shard), name=f"bus-{name_of(server)}")
        for left in gone:
            assert left.task is not None
            left.task.cancel()
        if gone:
            names = [", ".join(name_of(one) for one in some) for some in (servers, [one.server for one in gone])]
            log.warning("the primaries of the Redis Cluster are %s now, no longer %s", *names)
        weights: dict[Server | None, int] = {}
        labels: dict[Server | None, str] = {}
        for number, slot in enumerate(_TAG_SLOTS):
            owner = self._routed.primary(slot)
            weights[owner] = weights.get(owner, 0) + 1
            labels.setdefault(owner, TAGS[number])
        for server, shard in self._shards.items():
            shard.weight = weights.get(server, 0)
            self._choose_heartbeats(shard, labels.get(server))
        for name in self._channels:
            self._place(name)

    def _choose_heartbeats(self, shard: Shard, label: str | None) -> None:
        if shard.label and self._routed.primary(slot_of(f"{{rg:{shard.label}}}")) == shard.server:
            return
        # A primary without a partition has channels of users only.
        shard.label = label or next(
            (one for slot, one in _labels().items() if self._routed.primary(slot) == shard.server), ""
        )
        shard.heartbeats = shard_heartbeat_channel(shard.label, self._node_id).encode() if shard.label else b""
        if shard.wire is not None and shard.heartbeats:
            shard.wire.send(["SSUBSCRIBE", shard.heartbeats])

    async def _keep(self, shard: Shard) -> None:
        """Keep the connection to a shard, until cancelled."""
        is_logged, pause = False, AGAIN_S
        while True:
            began = time.monotonic()
            try:
                await self._listen_to(shard)
            except (RedisError, OSError, TimeoutError) as exc:
                # One without a majority refuses each channel, for as long as that lasts.
                pause = min(2 * pause, MAX_AGAIN_S) if isinstance(exc, ClusterDownError) else AGAIN_S
                if not is_logged or shard.heard_at > began:  # once, however long it lasts
                    log.warning(
                        "the bus of a shard is lost, trying again: shard=%s error=%s", name_of(shard.server), exc
                    )
                is_logged = True
            except Exception:
                log.exception("listening to a shard failed, trying again: shard=%s", name_of(shard.server))
            with contextlib.suppress(RedisError):
                await self._routed.refresh()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _listen_to(self, shard: Shard) -> None:
        lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        def on_lost(error: BaseException | None) -> None:
            if not lost.done():
                lost.set_result(error)

        wire = await Wire.open(
            self._routed.url(shard.server), partial(self._on_shard_reply, shard), on_lost, decode=False
        )
        try:
            shard.wire, began = wire, time.monotonic()
            for name in shard.names:
                if (known := self._get(name)) is not None:
                    self._ask(shard, name, known)
            if shard.heartbeats:  # last: a node that hears itself there hears all of its channels there
                wire.send(["SSUBSCRIBE", shard.heartbeats])
            self._on_resubscribed(set())
            while not lost.done():
                await asyncio.wait({lost}, timeout=CHECK_S)
                # A silent connection is a dead one, though nobody has closed it.
                if time.monotonic() - max(began, shard.heard_at) > SILENT_AFTER_S and shard.heartbeats:
                    raise TimeoutError("no heartbeat of our own came back")
            raise lost.result() or RedisConnectionError("the connection was closed")
        finally:
            shard.wire = None
            shard.sent.clear()
            for name in shard.names:
                if (known := self._get(name)) is not None:
                    known.unconfirm()
            wire.abort()

    def _on_shard_reply(self, shard: Shard, reply: Any) -> None:
        if isinstance(reply, Exception):
            self._on_shard_error(shard, reply)
            return
        kind, name, content = reply
        if kind == b"smessage":
            self._on_shard_message(shard, name, content)
            return
        known = self._get(name)
        if kind == b"ssubscribe":
            shard.sent.pop(name, None)
            if known is not None and known.shard is shard:
                self._on_confirmed(name)
        elif name == shard.heartbeats:  # its slot has moved
            shard.label, shard.heartbeats = "", b""
            self._is_stale = True
            self._changed.set()
        elif known is not None and known.shard is shard and known.confirmed:
            # The slot has moved. Asked again, the old primary says to where.
            known.unconfirm()
            self._ask(shard, name, known)

    def _on_shard_message(self, shard: Shard, name: bytes, content: bytes) -> None:
        if name == shard.heartbeats:
            shard.heard_at = time.monotonic()
            self.heard_at = self._most("heard_at")
        elif (number := self._bells.get(name)) is not None:
            self._on_bell(number)
        elif (known := self._channels.get(name)) is not None and self._on_message is not None:
            self.messages += 1
            try:
                self._on_message(known.room, content)
            except Exception:
                log.exception("a message of the bus could not be handled: room=%s", known.room)

    def _on_confirmed(self, name: bytes) -> None:
        super()._on_confirmed(name)
        known = self._get(name)
        if known is None or not known.missed:
            return
        known.missed = False
        number = self._bells.get(name)
        if number is not None:
            self._on_bell(number)
            return
        if not self._returned:
            asyncio.get_running_loop().call_soon(self._tell_returned)
        self._returned.add(known.room)

    def _tell_returned(self) -> None:
        rooms, self._returned = self._returned, set()
        self._on_resubscribed(rooms)

    def _on_shard_error(self, shard: Shard, error: Exception) -> None:
        if isinstance(error, MovedError):
            slot, server = int(error.slot_id), Server(error.host, error.port)
            name = next((one for one, its in shard.sent.items() if its == slot), None)
            if name is not None:
                shard.sent.pop(name)
                if (known := self._get(name)) is not None:
                    self._lose(name, known)
                    self._unplaced.add(name)
            # One that was unsubscribed, or of heartbeats, needs no more than the right map.
            self._routed.move(slot, server)
            self._changed.set()
        elif isinstance(error, AskError) or is_unknown_command(error):
            raise RedisConnectionError(f"this Redis Cluster has no sharded pub/sub, which Redis 7 has: {error}")
        else:
            raise error  # which closes the connection

    def _unsubscribe_all_unheld(self, now: float) -> None:
        for name, since in list(self._unheld.items()):
            if now - since < UNSUBSCRIBE_AFTER_S:
                break
            known = self._get(name)
            assert known is not None
            shard = known.shard
            if shard is not None and shard.wire is not None:
                if not known.confirmed:
                    continue  # a late confirmation would be taken for that of the next one
                shard.wire.send(["SUNSUBSCRIBE", name])
            self._lose(name, known)
            self._unplaced.discard(name)
            del self._unheld[name], self._channels[name]

    # Health

    def _most(self, what: str) -> float:
        """The time since when the shards that have more than half of the partitions were heard."""
        left = PARTITIONS / 2
        for shard in sorted(self._shards.values(), key=lambda one: getattr(one, what), reverse=True):
            left -= shard.weight
            if left < 0:
                return float(getattr(shard, what))
        return -float("inf")

    def _tell_of_shards(self) -> None:
        """Log a shard that is away, and when it is back: once each."""
        now = time.monotonic()
        for shard in self._shards.values():
            silent_s = now - max(shard.since, min(shard.heard_at, shard.answered_at))
            is_away = silent_s >= AWAY_AFTER_S
            if is_away and not shard.was_away:
                log.warning("a shard is away, what it has is not served: shard=%s", name_of(shard.server))
            elif shard.was_away and not is_away:
                log.warning("a shard is back: shard=%s", name_of(shard.server))
            shard.was_away = is_away


@cache
def _labels() -> dict[int, str]:
    """Labels of channels for heartbeats, by slot; made once, since it takes some hundredths of a second."""
    return {slot_of(f"{{rg:h{number}}}"): f"h{number}" for number in range(_LABELS)}

"""The channels of the bus that a node is subscribed to: counted, confirmed, and subscribed again after a loss."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from sio_server.protocol.errors import Unavailable
from sio_server.store.keys import room_of
from sio_server.store.wire import Wire

log = logging.getLogger(__name__)

SUBSCRIBE_S = 1.4  # for a subscription to be confirmed: as long as any command may take
UNSUBSCRIBE_AFTER_S = 5.0  # a channel without holders stays subscribed so long: its users may come back
SILENT_AFTER_S = 2.5  # without a heartbeat, which comes each second, the connection is then taken for dead
CHECK_S = 0.5  # so often that is checked, and channels without holders are unsubscribed
AT_ONCE = 500  # channels in one command

OnMessage = Callable[[str, bytes], None]  # room and message


class Channel:
    """A channel with at least one holder, or without one for a short time."""

    __slots__ = ("confirmed", "holders", "room", "waiters")

    def __init__(self, room: str) -> None:
        self.room = room
        self.holders = 0
        self.confirmed = False  # on the present connection
        self.waiters: list[asyncio.Future[None]] = []


class Subscriptions:
    """One connection, and the channels that it is to be subscribed to, whether it is there or not.

    Sharded pub/sub is used where the server knows it, since scripts publish by it there (`_bus.lua`). The channel
    of the heartbeats is subscribed last: a node that hears itself hears all of its channels.
    """

    def __init__(self, redis_url: str, heartbeats: str) -> None:
        self._url = redis_url
        self._heartbeats = heartbeats.encode()
        self._channels: dict[bytes, Channel] = {}
        self._unheld: dict[bytes, float] = {}  # channel -> since when (monotonic) it has no holder, oldest first
        self._on_message: OnMessage | None = None
        self._wire: Wire | None = None  # when all channels are subscribed on it
        self._unsent: deque[bytes] = deque()  # channels that are to be subscribed on the present connection
        self._awaited: tuple[bytes, asyncio.Future[None]] | None = None  # the last channel of a batch
        self._sharded = True
        self._due: deque[tuple[float, asyncio.Future[None]]] = deque()  # waiters, and until when
        self._timer: asyncio.TimerHandle | None = None
        self.heard_at = -float("inf")  # monotonic: when the node last heard its own heartbeat
        self.messages = 0  # that came on channels, without heartbeats

    @property
    def channel_count(self) -> int:
        """How many channels there are, without that of the heartbeats."""
        return len(self._channels)

    async def subscribe(self, *channels: str) -> None:
        """Hold channels; returns when Redis has confirmed all. Raises Unavailable, and then none of them is held.

        Those that are not subscribed yet are sent in one write.
        """
        held = self.hold(*channels)
        try:
            for error in await self._confirmed(held):
                if error is not None:
                    raise error
        except BaseException:
            self.release(*channels)
            raise

    async def subscribe_some(self, *channels: str) -> set[str]:
        """As `subscribe`; returns those that Redis has confirmed, and only they are held."""
        held = self.hold(*channels)
        try:
            waited = await self._confirmed(held)
        except BaseException:
            self.release(*channels)
            raise
        confirmed = {channel for channel, error in zip(channels, waited, strict=True) if error is None}
        self.release(*(channel for channel in channels if channel not in confirmed))
        return confirmed

    async def _confirmed(self, held: list[Channel]) -> list[BaseException | None]:
        """Wait until each of these is confirmed; what has not been in time has an error."""
        unconfirmed = [known for known in held if not known.confirmed]
        if not unconfirmed:
            return [None] * len(held)
        loop = asyncio.get_running_loop()
        waiters: list[asyncio.Future[None]] = [loop.create_future() for _ in unconfirmed]
        for known, waiter in zip(unconfirmed, waiters, strict=True):
            known.waiters.append(waiter)
            self._due.append((loop.time() + SUBSCRIBE_S, waiter))
        if self._timer is None:
            self._timer = loop.call_later(SUBSCRIBE_S, self._on_timer)
        errors = dict(zip(unconfirmed, await asyncio.gather(*waiters, return_exceptions=True), strict=True))
        return [errors.get(known) for known in held]

    def _on_timer(self) -> None:
        """One clock for all that wait: end those that have waited for too long."""
        self._timer = None
        loop, due = asyncio.get_running_loop(), self._due
        now = loop.time()
        while due and (due[0][1].done() or due[0][0] <= now):
            waiter = due.popleft()[1]
            if not waiter.done():
                waiter.set_exception(Unavailable("the bus is away at this moment; try again"))
        if due:
            self._timer = loop.call_at(due[0][0], self._on_timer)

    def hold(self, *channels: str) -> list[Channel]:
        """Hold channels without waiting; call `release` as often as each was held."""
        held = [self._hold(channel) for channel in channels]
        self._send_unsent()
        return held

    def _hold(self, channel: str) -> Channel:
        name = channel.encode()
        known = self._channels.get(name)
        if known is None:
            known = self._channels[name] = self._new_channel(channel)
            if self._is_connected:  # a new connection begins with all channels
                self._unsent.append(name)
        elif not known.holders:
            self._unheld.pop(name, None)
        known.holders += 1
        return known

    def _new_channel(self, channel: str) -> Channel:
        return Channel(room_of(channel))

    def release(self, *channels: str) -> None:
        """One holder less; the last one's channel is unsubscribed UNSUBSCRIBE_AFTER_S later."""
        for channel in channels:
            name = channel.encode()
            known = self._channels[name]
            known.holders -= 1
            if known.holders:
                continue
            if self._is_connected:
                self._unheld[name] = time.monotonic()
            else:
                del self._channels[name]

    @property
    def _is_connected(self) -> bool:
        """Whether channels are subscribed on a connection, or are being subscribed on a new one."""
        return self._wire is not None or self._awaited is not None

    async def listen(self, on_message: OnMessage, on_subscribed: Callable[[], None]) -> None:
        """Connect, subscribe and listen until the connection is lost or silent; raises what has ended it.

        `on_message(room, message)` is called in the order of each channel, `on_subscribed` when all is confirmed.
        """
        lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        def on_lost(error: BaseException | None) -> None:
            if not lost.done():
                lost.set_result(error)

        self._on_message = on_message
        wire = await Wire.open(self._url, self._on_reply, on_lost, decode=False)
        try:
            await self._subscribe_all(wire, lost)
            self._wire, began = wire, time.monotonic()
            self._send_unsent()
            on_subscribed()
            while not lost.done():
                await asyncio.wait({lost}, timeout=CHECK_S)
                now = time.monotonic()
                # A silent connection is a dead one, though nobody has closed it.
                if now - max(began, self.heard_at) > SILENT_AFTER_S:
                    raise TimeoutError("no heartbeat of our own came back")
                self._unsubscribe_unheld(wire, now)
            raise lost.result() or RedisConnectionError("the connection was closed")
        finally:
            self._wire = self._awaited = None
            self._unsent.clear()
            for known in self._channels.values():
                known.confirmed = False
            wire.abort()

    async def _subscribe_all(self, wire: Wire, lost: asyncio.Future[BaseException | None]) -> None:
        for name in self._unheld:
            del self._channels[name]
        self._unheld.clear()
        self._sharded = True
        self._unsent = deque(self._channels)
        while self._unsent:
            await self._subscribe_batch(wire, lost, _take(self._unsent))
        await self._subscribe_batch(wire, lost, [self._heartbeats])

    async def _subscribe_batch(
        self, wire: Wire, lost: asyncio.Future[BaseException | None], names: list[bytes]
    ) -> None:
        while True:
            confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._awaited = names[-1], confirmed
            wire.send([self._command, *names])
            either: set[asyncio.Future[Any]] = {confirmed, lost}
            done, _ = await asyncio.wait(either, timeout=SILENT_AFTER_S, return_when=asyncio.FIRST_COMPLETED)
            self._awaited = None
            if lost in done:
                raise lost.result() or RedisConnectionError("the connection was closed")
            if not done:
                raise TimeoutError("subscriptions are not confirmed")
            if (error := confirmed.exception()) is None:
                return
            if not (self._sharded and is_unknown_command(error)):
                raise error
            self._sharded = False

    @property
    def _command(self) -> str:
        return "SSUBSCRIBE" if self._sharded else "SUBSCRIBE"

    def _send_unsent(self) -> None:
        while self._wire is not None and self._unsent:
            self._wire.send([self._command, *_take(self._unsent)])

    def _unsubscribe_unheld(self, wire: Wire, now: float) -> None:
        names: list[bytes] = []
        for name, since in self._unheld.items():
            # One that is not confirmed is kept: a late confirmation would be taken for that of the next one.
            if now - since < UNSUBSCRIBE_AFTER_S or not self._channels[name].confirmed:
                break
            names.append(name)
        for name in names:
            del self._channels[name], self._unheld[name]
        for start in range(0, len(names), AT_ONCE):
            wire.send(["SUNSUBSCRIBE" if self._sharded else "UNSUBSCRIBE", *names[start : start + AT_ONCE]])

    def _on_reply(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            self._on_error(reply)
            return
        kind, name, content = reply
        if kind in (b"smessage", b"message"):
            if name == self._heartbeats:
                self.heard_at = time.monotonic()
            elif (known := self._channels.get(name)) is not None and self._on_message is not None:
                self.messages += 1
                try:
                    self._on_message(known.room, content)
                except Exception:
                    log.exception("a message of the bus could not be handled: room=%s", known.room)
        elif kind in (b"ssubscribe", b"subscribe"):
            self._on_confirmed(name)
        # A server of a cluster unsubscribes a channel that has moved to another one: then all is subscribed again.
        elif name in self._channels and self._channels[name].confirmed and self._wire is not None:
            raise RedisConnectionError("the server has ended a subscription")

    def _on_confirmed(self, name: bytes) -> None:
        if (known := self._channels.get(name)) is not None:
            known.confirmed = True
            for waiter in known.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            known.waiters.clear()
        if self._awaited is not None and self._awaited[0] == name and not self._awaited[1].done():
            self._awaited[1].set_result(None)

    def _on_error(self, error: Exception) -> None:
        if self._awaited is None:
            raise error  # which closes the connection: a channel is not subscribed
        if not self._awaited[1].done():
            self._awaited[1].set_exception(error)


def _take(names: deque[bytes]) -> list[bytes]:
    return [names.popleft() for _ in range(min(len(names), AT_ONCE))]


def is_unknown_command(error: BaseException) -> bool:
    """Whether a server refuses a command because it does not know it: SSUBSCRIBE before Redis 7."""
    return str(error).lower().removeprefix("err ").startswith("unknown command")

"""The connection of a client: to some node of a list, for as long as its token serves, and requests on it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any, Protocol

from sio_clients.errors import NotConnected, RateLimited, Refused, RoomgraphError, SessionEnded, Unavailable
from sio_clients.route import Route
from sio_clients.tokens import Token, TokenProvider
from sio_clients.transport import ConnectionLost, Transport
from sio_server.protocol.events import ServerEvent
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 5.0
BACKOFF_FIRST_S = 0.1
REPEAT_MAX_S = 1.0  # between repetitions of a request, which ask a store that was away soon after its return


def spread(error: RateLimited) -> float:
    """How long to wait, in seconds: clients that were refused together do not come back together."""
    return error.retry_after_ms / 1000 * random.uniform(1.0, 1.2)


class ConnectionUser(Protocol):
    """What is told of the connection. The calls come in this order, again for each connection."""

    async def catch_up(self, transport: Transport, user_id: str) -> None:
        """A connection is there; requests of the application wait until this returns."""

    def on_event(self, event: str, payload: Any) -> None:
        """An event came."""

    def on_disconnect(self) -> None:
        """The connection is gone."""

    def on_end(self, error: RoomgraphError) -> None:
        """There will be no connection any more."""


class Connection:
    """Keeps one connection to some node of `urls`; another node of the list when one is gone.

    `user_id`, `session_id`, `node` and `graphs` are those of the latest connection.
    """

    def __init__(
        self,
        urls: Sequence[str],
        token: str | TokenProvider,
        device: dict[str, Any],
        *,
        user: ConnectionUser,
        give_up_after: float,
    ) -> None:
        self.user_id = ""
        self.session_id = ""
        self.node = ""
        self.graphs: list[str] = []
        self.give_up_after = give_up_after
        self._urls = list(urls)
        self._route = Route(self._urls)
        self._token = Token(token)
        self._device = device
        self._user = user
        self._transport: Transport | None = None
        self._online = asyncio.Event()
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._return_after: float | None = None  # seconds, as the last node has said with `session:ended`
        self._ended: RoomgraphError | None = None  # why no connection is wanted any more
        self._final: RoomgraphError | None = None  # what every request raises from now on

    @property
    def online(self) -> bool:
        """Connected, and caught up in every conversation."""
        return self._online.is_set()

    async def start(self) -> None:
        """Connect to the first node that answers. Raises Refused (a bad token) or NotConnected."""
        self._keeper = asyncio.create_task(self._keep(), name="chat-client")
        await self._wait_online(asyncio.get_running_loop().time() + self.give_up_after)

    async def close(self) -> None:
        """Disconnect for good."""
        await end_tasks([self._keeper, *self._closing])
        if self._transport is not None:
            await self._transport.close()
        self._final = self._final or NotConnected("the client is closed")

    async def go_offline(self) -> None:
        """Lose the connection without a goodbye, and stay away until `go_online`."""
        self._allowed.clear()
        if self._transport is not None:
            await self._transport.cut()

    async def go_online(self, url: str | None = None) -> None:
        """Come back, to a certain node if one is given, and wait until everything missed is here."""
        if url is not None:
            self._route.choose(url)
        self._allowed.set()
        await self._wait_online(asyncio.get_running_loop().time() + self.give_up_after)

    async def request(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send an event and return its ack; repeated until answered, which every event allows."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.give_up_after
        delay = BACKOFF_FIRST_S
        while True:
            transport = await self._wait_online(deadline)
            try:
                return await transport.request(event, payload, min(REQUEST_TIMEOUT_S, self.give_up_after))
            except Unavailable:
                if loop.time() + delay > deadline:
                    raise
            except RateLimited as exc:
                pause = spread(exc)
                if loop.time() + pause > deadline:
                    raise
                await asyncio.sleep(pause)
                continue
            except (ConnectionLost, TimeoutError):
                delay = BACKOFF_FIRST_S  # the next node may be well
                if loop.time() + delay > deadline:
                    raise Unavailable(f"{event} got no answer within {self.give_up_after:g} s") from None
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, REPEAT_MAX_S)

    async def place(self) -> tuple[str, str]:
        """The address of the node to which it is connected, and the token."""
        await self._wait_online(asyncio.get_running_loop().time() + self.give_up_after)
        return self._route.url, await self._token.current()

    async def _wait_online(self, deadline: float) -> Transport:
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    if self._final is not None:
                        raise self._final
                    if self._online.is_set() and self._transport is not None:
                        return self._transport
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise NotConnected(f"no node could be reached: {', '.join(self._urls)}") from None

    async def _keep(self) -> None:
        """Keep one connection until the client ends."""
        pause = 0.0
        while True:
            await self._allowed.wait()
            await asyncio.sleep(pause)
            url = self._route.url
            self._return_after = None
            lost = asyncio.Event()
            transport = Transport(self._on_event, lost.set)
            try:
                ready = await transport.connect(url, {"token": await self._token.current(), **self._device})
                if not self._allowed.is_set():
                    raise ConnectionLost
                self._transport = transport
                self.user_id, self.session_id = ready["user_id"], ready["session_id"]
                self.node, self.graphs = ready["node"], ready["graphs"]
                if ready.get("last_end"):
                    log.warning(
                        "the last connection was ended by its node: reason=%s", ready["last_end"]["reason"]
                    )
                self._token.accepted()
                await self._user.catch_up(transport, self.user_id)
                self._online.set()
                self._changed.set()
                await lost.wait()
                pause = self._route.lost()
                if self._return_after is not None:  # the node has said when
                    pause = self._return_after
                pause = pause if self._allowed.is_set() else 0.0
            except RateLimited as exc:
                log.info("no connection to %s: %s", url, exc)
                pause = max(self._route.failed(), spread(exc)) if self._allowed.is_set() else 0.0
            except Refused as exc:
                self._ended = exc  # the token serves no more: no node will accept it
            except (RoomgraphError, ConnectionLost, TimeoutError) as exc:
                log.info("no connection to %s: %s", url, exc)
                pause = self._route.failed() if self._allowed.is_set() else 0.0
            finally:
                self._online.clear()
                self._transport = None
                self._user.on_disconnect()
                await transport.close()
            if self._ended is not None and self._token.renews(self._ended):
                self._ended, pause = None, 0.0
            if self._ended is not None:
                self._final = self._ended
                self._changed.set()
                self._user.on_end(self._ended)
                return

    def _on_event(self, event: str, payload: Any) -> None:
        if event == ServerEvent.SESSION_ENDED:
            if payload["reconnect"]:
                self._return_after = float(payload["after_ms"]) / 1000
            else:
                self._ended = SessionEnded(str(payload["reason"]), payload.get("by") or {})
            if self._transport is not None:
                closing = asyncio.create_task(self._transport.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._user.on_event(event, payload)

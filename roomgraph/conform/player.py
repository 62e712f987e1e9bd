"""A plain client that plays rules against a server: it checks all that it gets with the models of the protocol."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import socketio
from pydantic import ValidationError

from roomgraph.conform.report import Broken, LeftOut
from sio_clients.transport import socket_path
from sio_server.protocol.acks import check_ack
from sio_server.protocol.events import STREAM_EVENTS
from sio_server.protocol.server_events import check_event

T = TypeVar("T")
WAIT_S = 30.0  # for an answer of the agent

# The engine logs lost connections as errors; here a verdict tells what is wrong.
_engine_log = logging.getLogger(f"{__name__}.engine")
_engine_log.setLevel(logging.CRITICAL)


class Player:
    """One device. `events` is all that has come; what the models refuse is in `faults`."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[str] = []
        self.refusal: Any = None
        self.ended = False
        self.user_id = self.device_id = ""
        self._changed = asyncio.Event()
        self._sio = socketio.AsyncClient(reconnection=False, handle_sigint=False, engineio_logger=_engine_log)
        self._sio.on("*", self._on_event)
        self._sio.on("connect_error", self._on_refused)
        self._sio.on("disconnect", self._on_end)

    async def connect(self, **auth: str) -> dict[str, Any]:
        """Connect; return what `session:opened` says."""
        await self._sio.connect(
            self.url,
            auth={"token": self.token, **auth},
            transports=["websocket"],
            wait_timeout=5,
            socketio_path=socket_path(self.url),
        )
        opened = await self.event("session:opened")
        self.user_id, self.device_id = opened["user_id"], opened["device_id"]
        return opened

    async def close(self) -> None:
        """Disconnect."""
        await self._sio.disconnect()

    async def ask(self, request: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return its ack, whatever it says."""
        ack = await self.call(request, fields)
        try:
            check_ack(request, ack)
        except (ValidationError, ValueError, AttributeError, KeyError) as exc:
            raise Broken(f"the ack of {request}: {exc}"[:400]) from None
        return dict(ack)

    async def call(self, request: str, payload: Any) -> Any:
        """Send a request as it is and return its ack, unchecked."""
        try:
            return await self._sio.call(request, payload, timeout=10)
        except socketio.exceptions.TimeoutError:
            raise Broken(f"{request}: no ack within 10 s") from None

    async def do(self, request: str, conversation_id: str, **fields: Any) -> dict[str, Any]:
        """A request that changes a conversation, and must be carried out."""
        named = {"conversation_id": conversation_id, "request_id": uuid.uuid4().hex, **fields}
        ack = await self.ask(request, **named)
        if not ack["ok"]:
            raise Broken(f"{request}: {ack['error']['code']}: {ack['error']['message']}")
        return ack

    async def refused(self, code: str, request: str, **fields: Any) -> dict[str, Any]:
        """A request that must be refused with this code; return the error."""
        ack = await self.ask(request, **fields)
        if ack["ok"] or ack["error"]["code"] != code:
            raise Broken(f"{request}: {code} was expected, not {ack.get('error', {}).get('code', 'ok')}")
        return dict(ack["error"])

    def stream(self, conversation_id: str) -> list[tuple[str, dict[str, Any]]]:
        """The events of a conversation's stream, as they came."""
        return [
            (name, payload)
            for name, payload in self.events
            if name in STREAM_EVENTS and payload.get("conversation_id") == conversation_id
        ]

    async def until(self, found: Callable[[], T | None], what: str, timeout: float = WAIT_S) -> T:
        """Wait until `found()` is something, looking again at everything that comes."""
        try:
            async with asyncio.timeout(timeout):
                while not (value := found()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Broken(f"did not come within {timeout:g} s: {what}") from None
        return value

    async def event(self, name: str, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
        """The first such event with these fields, come already or to come."""
        return await self.until(
            lambda: next((p for n, p in self.events if n == name and p.items() >= fields.items()), None),
            f"{name} {fields or ''}",
            timeout,
        )

    async def entry(self, conversation_id: str, *types: str, **data: Any) -> dict[str, Any]:
        """The first live entry of these types with these data."""

        def found() -> dict[str, Any] | None:
            entries = [p for n, p in self.stream(conversation_id) if n == "entry:appended"]
            matching = (e for e in entries if e["type"] in types and e["data"].items() >= data.items())
            return next(matching, None)

        return await self.until(found, f"entry {types} {data or ''}")

    def _on_event(self, name: str, payload: Any = None) -> None:
        try:
            check_event(name, payload)
        except (ValidationError, ValueError) as exc:
            self.faults.append(f"{name}: {exc}"[:400])
        self.events.append((name, payload))
        self._changed.set()

    def _on_refused(self, refusal: Any) -> None:
        self.refusal = refusal
        self._changed.set()

    def _on_end(self, reason: Any = None) -> None:
        self.ended = True
        self._changed.set()


@dataclass
class Table:
    """Where rules are played: a server, and tokens of two users."""

    url: str
    tokens: tuple[str, str]
    players: list[Player] = field(default_factory=list)
    graphs: list[str] = field(default_factory=list)

    async def seat(self, user: int = 0) -> Player:
        """A new device of a user."""
        player = Player(self.url, self.tokens[user])
        self.players.append(player)
        self.graphs = (await player.connect())["graphs"]
        return player

    async def room(self, *players: Player, **settings: Any) -> str:
        """A new open conversation of the first player, joined by the others."""
        name = f"conform-{uuid.uuid4().hex[:12]}"
        first, *others = players
        await first.do("conversation:create", name, access="open", **{"agent": "off", **settings})
        for other in others:
            await other.do("conversation:join", name)
        return name

    async def agent_room(self, *players: Player) -> str:
        """The same with the concierge, which streams answers and asks questions."""
        if "concierge" not in self.graphs:
            raise LeftOut("the graph `concierge`")
        return await self.room(*players, agent="always", graph="concierge")

    async def clear(self) -> None:
        """Disconnect all; raise Broken for what came and is not as the models say."""
        players, self.players = self.players, []
        await asyncio.gather(*(player.close() for player in players), return_exceptions=True)
        faults = [fault for player in players for fault in player.faults]
        if faults:
            raise Broken(faults[0])


def expect(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)

"""The server's side of Socket.IO's Admin UI, for reading only: the nodes, and how many sessions each has."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sio_server.gateway.transport.refusal_log import RefusalLog
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable

log = logging.getLogger(__name__)

NAMESPACE = "/admin"
EVERY_S = 2.0
ATTEMPT = 10  # what a connection costs its address, as ten handshakes: an account can be guessed
# The page asks for the password again when it reads this.
WRONG = "invalid credentials"

# An event for a connection: its id, the event's name, and the payload. Returns whether the connection is there.
Send = Callable[[str, str, Any], Awaitable[bool]]


@dataclass(frozen=True)
class NodeFigures:
    """What is told of one node; `started`: Unix time."""

    name: str
    started: float
    sessions: int


class AdminUi:
    """Tells the connections of operators, with the account of the settings, of the whole cluster.

    Nothing that people write goes through it: it knows of counts only, and does nothing that it is asked for.
    """

    def __init__(
        self,
        account: str,
        read_nodes: Callable[[], Awaitable[Sequence[NodeFigures]]],
        *,
        spend: Callable[[Any, int], None] = lambda peer, cost: None,
        address_of: Callable[[Any], str] = lambda peer: "",
        on_refused: Callable[[str], None] = lambda code: None,
    ) -> None:
        """`account`: `user:password`. `read_nodes` raises Unavailable.

        `spend` counts a connection to the address of its peer, and raises RateLimited.
        `address_of` returns that address, '' where none is counted: then that of the peer is logged.
        `on_refused` is called with the code of each refusal.
        """
        self._username, _, self._password = account.partition(":")
        self._read_nodes = read_nodes
        self._spend = spend
        self._address_of = address_of
        self._on_refused = on_refused
        self._refusals = RefusalLog(log, "a connection to the Admin UI was refused: code=%s address=%s")
        self._connections: set[str] = set()

    def check(self, auth: Any, peer: Any) -> None:
        """Raises Refused unless this is the account, and RateLimited for an address that has tried too often."""
        try:
            # Before the account is looked at: otherwise the limit would not end the guessing.
            self._spend(peer, ATTEMPT)
            self._check(auth)
        except Refused as exc:
            self._on_refused(exc.code)
            self._refusals.warn(exc.code, self._address_of(peer) or str(peer.remote))
            raise

    def _check(self, auth: Any) -> None:
        given = auth if isinstance(auth, Mapping) else {}
        # Both are compared, whatever the first comparison says.
        known = _same(given.get("username"), self._username) & _same(given.get("password"), self._password)
        if not known:
            raise Refused(ErrorCode.TOKEN_INVALID, WRONG)

    async def begin(self, eio_sid: str, send: Send) -> None:
        """A connection with the account: it is told what the server can do, and from now on the figures."""
        self._connections.add(eio_sid)
        await send(eio_sid, "config", {"supportedFeatures": ["AGGREGATED_EVENTS"]})

    async def run(self, send: Send) -> None:
        """Tell the figures, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            if not self._connections:
                continue
            with contextlib.suppress(Unavailable):  # it is told when Redis is back
                figures = [_stats(node) for node in await self._read_nodes()]
                for eio_sid in list(self._connections):
                    for stats in figures:
                        if not await send(eio_sid, "server_stats", stats):
                            self._connections.discard(eio_sid)
                            break


def _same(given: Any, expected: str) -> bool:
    text = given if isinstance(given, str) else ""
    return hmac.compare_digest(text.encode(errors="replace"), expected.encode())


def _stats(node: NodeFigures) -> dict[str, Any]:
    return {
        **{"serverId": node.name, "hostname": node.name, "pid": 0, "uptime": max(0.0, time.time() - node.started)},
        **{"clientsCount": node.sessions, "pollingClientsCount": 0, "aggregatedEvents": []},
        "namespaces": [{"name": "/", "socketsCount": node.sessions}],
    }

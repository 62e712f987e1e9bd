"""Presence: users come and go, which the members of their conversations are told, in batches, as Redis has it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ServerEvent
from sio_server.store.keys import conversation_room
from sio_server.users.presence import PresenceRecords

log = logging.getLogger(__name__)

COMING_S = 0.05  # from the first session of a user until it is told
GOING_S = 1.0  # from the last session, and from what was told, until it is looked up
TOLD_AT_ONCE = 500  # users


@dataclass(slots=True)
class _Change:
    known: bool | None  # what others know: whether the user is online; None: nobody can say
    seen_in: Sequence[str]  # ids of conversations
    due: float  # monotonic


class PresenceNews:
    """Tells when users come and go, on whatever node their sessions are.

    That a user has come is told at once, that a user has gone a second later: a page that is loaded again, or a
    device that has lost its connection for a moment, makes no news. What was told is looked up a second later, and
    told again if it is not so any more. So the last word is true, also when a user comes and goes on different
    nodes at the same time. It is a hint all the same: the bus may lose it.
    """

    def __init__(
        self, records: PresenceRecords, emit_soon: Callable[[Iterable[tuple[str, Any, str]]], None]
    ) -> None:
        """`emit_soon` publishes events: name, payload and room of each."""
        self._records = records
        self._emit_soon = emit_soon
        self._changes: dict[str, _Change] = {}  # by user id
        self._coming: deque[tuple[float, str]] = deque()  # when each is due
        self._going: deque[tuple[float, str]] = deque()
        self._noted = asyncio.Event()

    def came(self, user_id: str, seen_in: Sequence[str]) -> None:
        """The user has a first session now. `seen_in`: conversations of which the user may be a member."""
        self._add_change(user_id, False, seen_in, COMING_S, self._coming)

    def went(self, user_id: str, seen_in: Sequence[str], *, known: bool = True) -> None:
        """The user has no session any more. `known`: others know that there was one."""
        self._add_change(user_id, True if known else None, seen_in, GOING_S, self._going)

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(COMING_S)
            try:
                await self.tell(time.monotonic())
            except Unavailable as exc:
                log.info("who came and went is told later: %s", exc)

    async def stop(self) -> None:
        """Tell at once what waits. Raises Unavailable."""
        await self.tell(float("inf"))

    async def tell(self, now: float) -> None:
        """Tell what is due at this time (monotonic). Raises Unavailable, and then it is due again later."""
        while due := self._due(now):
            try:
                await self._tell(due, now)
            except BaseException:
                for user_id, change in due.items():
                    self._look_up_again(user_id, change)
                raise
        if not self._changes:
            self._noted.clear()

    def _add_change(
        self,
        user_id: str,
        known: bool | None,
        seen_in: Sequence[str],
        wait_s: float,
        queue: deque[tuple[float, str]],
    ) -> None:
        if not seen_in:
            return
        change = self._changes.get(user_id)
        if change is not None:  # what others know has not changed since
            change.seen_in = seen_in
            return
        due = time.monotonic() + wait_s
        self._changes[user_id] = _Change(known, seen_in, due)
        queue.append((due, user_id))
        self._noted.set()

    def _due(self, now: float) -> dict[str, _Change]:
        due: dict[str, _Change] = {}
        for queue in (self._coming, self._going):
            while queue and queue[0][0] <= now and len(due) < TOLD_AT_ONCE:
                at, user_id = queue.popleft()
                if user_id in self._changes and self._changes[user_id].due == at:
                    due[user_id] = self._changes.pop(user_id)
        return due

    def _look_up_again(self, user_id: str, change: _Change) -> None:
        """Look it up again in a second, unless the user has come or gone meanwhile."""
        later = self._changes.setdefault(user_id, change)
        later.known = change.known
        if later is change:
            change.due = time.monotonic() + GOING_S
            self._going.append((change.due, user_id))
            self._noted.set()

    async def _tell(self, due: dict[str, _Change], now: float) -> None:
        online = dict(zip(due, await self._records.online(list(due)), strict=True))
        news = {user_id: change for user_id, change in due.items() if change.known != online[user_id]}
        if not news:
            return
        rooms = await self._records.conversations({user_id: change.seen_in for user_id, change in news.items()})
        events = []
        for user_id, change in news.items():
            change.known = online[user_id]
            payload = {"user_id": user_id, "online": change.known}
            events += [(ServerEvent.PRESENCE_CHANGED, payload, conversation_room(one)) for one in rooms[user_id]]
            if rooms[user_id] and now != float("inf"):
                self._look_up_again(user_id, change)
        self._emit_soon(events)

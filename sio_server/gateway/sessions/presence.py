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
AGAIN_S = 1.0  # from what was told until it is looked up again
TOLD_AT_ONCE = 500  # users
OVERDUE_S = 2.0  # what was not told by then any node tells


@dataclass(slots=True)
class _Change:
    known: bool | None  # what others know: whether the user is online; None: nobody can say
    seen_in: Sequence[str]  # ids of conversations
    due: float  # monotonic
    noted: bool = False  # in Redis: see `note`


class PresenceNews:
    """Tells when users come and go, on whatever node their sessions are.

    That a user has come is told at once, that a user has gone after a grace of some seconds: a page that is loaded
    again, or a device that has lost its connection, makes no news, on whatever node it comes back. What was told
    is looked up a second later, and told again if it is not so any more. So the last word is true, also when a
    user comes and goes on different nodes at the same time. It is a hint all the same: the bus may lose it.

    That others are to be told of a user is written in Redis. If the node does not do it in time, since it has
    died or was stopped, another one does.
    """

    def __init__(
        self,
        records: PresenceRecords,
        emit_soon: Callable[[Iterable[tuple[str, Any, str]]], None],
        now: Callable[[], float],
        grace_s: float,
    ) -> None:
        """`emit_soon` publishes events: name, payload and room of each. `now`: Redis' time."""
        self._records = records
        self._emit_soon = emit_soon
        self._now = now
        self.grace_s = grace_s
        self._changes: dict[str, _Change] = {}  # by user id
        # When each is due. What is in one of them waits equally long.
        self._coming: deque[tuple[float, str]] = deque()
        self._going: deque[tuple[float, str]] = deque()
        self._again: deque[tuple[float, str]] = deque()
        self._noted = asyncio.Event()

    def came(self, user_id: str, seen_in: Sequence[str]) -> None:
        """The user has a first session now. `seen_in`: conversations of which the user may be a member."""
        self._add_change(user_id, False, seen_in, COMING_S, self._coming)

    async def note(self, user_ids: Sequence[str]) -> None:
        """These users have gone, of whom others know. Raises Unavailable; then `went` is not to be called."""
        if user_ids:
            await self._records.note_leaving(user_ids, round((self._now() + self.grace_s) * 1000))

    def went(self, user_id: str, seen_in: Sequence[str], *, known: bool = True) -> None:
        """The user has no session any more. `known`: others know that there was one."""
        change = self._changes.get(user_id)
        if change is not None and change.known is not False:
            # The user was here again, or others were told so a moment ago: the grace begins now.
            self._wait(user_id, change, self.grace_s, self._going)
        self._add_change(user_id, True if known else None, seen_in, self.grace_s, self._going, noted=known)

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(COMING_S)
            try:
                await self.tell(time.monotonic())
            except Unavailable as exc:
                log.info("who came and went is told later: %s", exc)

    async def watch_overdue(self) -> None:
        """Tell what other nodes have not told in time, until cancelled."""
        while True:
            await asyncio.sleep(AGAIN_S)
            try:
                await self.tell_overdue()
            except Unavailable as exc:
                log.info("what others have not told is told later: %s", exc)

    async def tell_overdue(self) -> None:
        """Look at users of whom others should have been told by now. Raises Unavailable."""
        found = await self._records.overdue(round((self._now() - OVERDUE_S) * 1000), TOLD_AT_ONCE)
        users = [user_id for user_id in found if user_id not in self._changes]
        if not users:
            return
        for user_id, seen_in in zip(users, await self._records.seen_in(users), strict=True):
            if seen_in:
                self._add_change(user_id, True, seen_in, COMING_S, self._coming, noted=True)
            else:
                await self._records.settle([user_id])

    async def stop(self) -> None:
        """Tell at once what is due soon. Other nodes tell of users who have just gone. Raises Unavailable."""
        await self.tell(time.monotonic() + COMING_S)

    async def tell(self, now: float) -> None:
        """Tell what is due at this time (monotonic). Raises Unavailable, and then it is due again later."""
        while due := self._due(now):
            try:
                await self._tell(due)
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
        *,
        noted: bool = False,
    ) -> None:
        if not seen_in:
            return
        change = self._changes.get(user_id)
        if change is not None:  # what others know has not changed since
            change.seen_in = seen_in
            change.noted = change.noted or noted
            return
        self._changes[user_id] = change = _Change(known, seen_in, 0.0, noted)
        self._wait(user_id, change, wait_s, queue)

    def _wait(self, user_id: str, change: _Change, wait_s: float, queue: deque[tuple[float, str]]) -> None:
        change.due = time.monotonic() + wait_s
        queue.append((change.due, user_id))
        self._noted.set()

    def _due(self, now: float) -> dict[str, _Change]:
        due: dict[str, _Change] = {}
        for queue in (self._coming, self._going, self._again):
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
            self._wait(user_id, change, AGAIN_S, self._again)

    async def _tell(self, due: dict[str, _Change]) -> None:
        online = dict(zip(due, await self._records.online(list(due)), strict=True))
        news = {user_id: change for user_id, change in due.items() if change.known != online[user_id]}
        if news:
            await self._tell_news(news, online)
        if settled := [user_id for user_id, change in due.items() if change.noted]:
            await self._records.settle(settled)
            for user_id in settled:
                due[user_id].noted = False

    async def _tell_news(self, news: dict[str, _Change], online: dict[str, bool]) -> None:
        rooms = await self._records.conversations({user_id: change.seen_in for user_id, change in news.items()})
        events = []
        for user_id, change in news.items():
            change.known = online[user_id]
            payload = {"user_id": user_id, "online": change.known}
            events += [(ServerEvent.PRESENCE_CHANGED, payload, conversation_room(one)) for one in rooms[user_id]]
            if rooms[user_id]:
                self._look_up_again(user_id, change)
        self._emit_soon(events)

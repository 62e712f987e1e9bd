"""Rate limits: how many requests users and addresses may make, on all nodes together.

Each limit is one or more rates, such as 20 a second and 600 a minute. A rate is a bucket that holds so many
requests and earns them again evenly (the generic cell rate algorithm). What is kept of it is one number: how far
what was spent reaches into the future. A node decides by what it knows, at once, and adds what was spent to Redis
in the background; the reply says what has been spent on all nodes. So no request waits for it, also when Redis
is away. What a user spends on several nodes before these have exchanged it is too much once, and paid back: the
next requests wait longer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from sio_server.protocol.errors import MAX_WAIT_MS, RateLimited, RoomgraphError
from sio_server.protocol.events import MAX_MARKED, ClientEvent
from sio_server.store.keys import limit
from sio_server.store.scripts import Scripts

log = logging.getLogger(__name__)

SHARE_S = 0.1  # the pause between two exchanges with Redis
SHARED_AT_ONCE = 500  # accounts in one round trip
FORGET_S = 10.0  # so often accounts that have earned everything back are forgotten
QUIET_S = 1.0  # of the handshakes of a user on this node, one in so long is not shared: all may return at once
HANDSHAKE_EVENTS = 10  # what a handshake costs its user: it is more work than most events
SEARCH_EVENTS = 20  # what a search costs its user
GUEST_HANDSHAKES = 5  # what a guest's token costs its address: it makes a new user


class EventClass(StrEnum):
    """By which limit an event is counted, beside that of all events."""

    WRITE = "write"  # it writes or begins something: RATE_LIMIT_USER
    MARK = "mark"  # it reports something small, and often: RATE_LIMIT_MARKS
    READ = "read"  # it changes nothing that is stored
    SEARCH = "search"  # the same, but it looks through thousands of entries


# Every event has a class. A draft is a write, since it may be as long as a message.
EVENT_CLASSES: dict[ClientEvent, EventClass] = {
    ClientEvent.CONVERSATION_CREATE: EventClass.WRITE,
    ClientEvent.CONVERSATION_JOIN: EventClass.WRITE,
    ClientEvent.CONVERSATION_LEAVE: EventClass.WRITE,
    ClientEvent.CONVERSATION_LIST: EventClass.READ,
    ClientEvent.LIST_SET: EventClass.WRITE,
    ClientEvent.HISTORY_READ: EventClass.READ,
    ClientEvent.ENTRY_READ: EventClass.READ,
    ClientEvent.CONVERSATION_INVITE: EventClass.WRITE,
    ClientEvent.CONVERSATION_RENAME: EventClass.WRITE,
    ClientEvent.CONVERSATION_CONFIGURE: EventClass.WRITE,
    ClientEvent.CONVERSATION_DELETE: EventClass.WRITE,
    ClientEvent.MEMBERS_REMOVE: EventClass.WRITE,
    ClientEvent.MEMBERS_LIST: EventClass.READ,
    ClientEvent.MESSAGE_SEND: EventClass.WRITE,
    ClientEvent.MESSAGE_EDIT: EventClass.WRITE,
    ClientEvent.MESSAGE_DELETE: EventClass.WRITE,
    ClientEvent.MESSAGE_SEARCH: EventClass.SEARCH,
    ClientEvent.RUN_STOP: EventClass.WRITE,
    ClientEvent.RUN_REGENERATE: EventClass.WRITE,
    ClientEvent.INTERRUPT_RESPOND: EventClass.WRITE,
    ClientEvent.MARKS_SET: EventClass.MARK,
    ClientEvent.DRAFT_SAVE: EventClass.WRITE,
    ClientEvent.TYPING_SET: EventClass.MARK,
    ClientEvent.SESSION_SYNC: EventClass.READ,
    ClientEvent.DEVICE_LIST: EventClass.READ,
    ClientEvent.DEVICE_RENAME: EventClass.WRITE,
    ClientEvent.DEVICE_LINK: EventClass.WRITE,
    ClientEvent.DEVICE_UNLINK: EventClass.WRITE,
    ClientEvent.DEVICE_SIGN_OUT: EventClass.WRITE,
}


def items_in(event: ClientEvent, payload: Any) -> int:
    """How many items the payload of a request holds, before it is known to be valid."""
    marks = payload.get("marks") if event == ClientEvent.MARKS_SET and isinstance(payload, dict) else None
    return max(1, min(len(marks), MAX_MARKED)) if isinstance(marks, dict) else 1


_PERIODS_S = {"second": 1, "minute": 60, "hour": 3600}


@dataclass(frozen=True)
class Rate:
    """`count` in `period_s` seconds: so many at once, and then evenly."""

    count: int
    period_s: int

    @cached_property
    def each_s(self) -> float:
        """How many seconds it takes to earn one again."""
        return self.period_s / self.count


def parse_rates(text: str) -> tuple[Rate, ...]:
    """The rates of a setting, such as `20/second;600/minute`; none for `off`."""
    if text == "off":
        return ()
    parts = (part.strip().partition("/") for part in text.split(";"))
    return tuple(Rate(int(count), _PERIODS_S[period.strip()]) for count, _, period in parts)


@dataclass
class Account:
    """What a user or an address has spent under the rates of a limit, as far as this node knows."""

    reach: list[float]  # for each rate: until when what was spent counts, by the monotonic clock
    unshared: int = 0  # what Redis has not been told of
    quiet_until: float = -math.inf  # what was not shared was spent QUIET_S before


@dataclass
class Limit:
    """The rates of one limit, and the accounts of all users or addresses that have spent some of it."""

    rates: tuple[Rate, ...]
    what: str  # what is too much, in words
    accounts: dict[str, Account] = field(default_factory=dict)

    def spend(self, key: str, cost: int, now: float, *, quiet: bool = False) -> float:
        """Spend, or return how many seconds to wait; a refusal costs nothing.

        `quiet`: it counts on this node only, unless that was so less than QUIET_S ago.
        """
        account = self._account(key, now)
        reach, wait = [], 0.0
        for until, rate in zip(account.reach, self.rates, strict=True):
            # What costs more than the rate ever holds is let through when it is full.
            spent_until = max(until, now) + min(cost, rate.count) * rate.each_s
            reach.append(spent_until)
            wait = max(wait, spent_until - now - rate.period_s)
        if wait > 1e-6:
            return wait
        account.reach = reach
        if quiet and now >= account.quiet_until:
            account.quiet_until = now + QUIET_S
        else:
            account.unshared += cost
        return 0.0

    def forget_idle(self, now: float) -> None:
        """Forget the accounts that have earned everything back and owe Redis nothing."""
        idle = [k for k, a in self.accounts.items() if not a.unshared and max(a.reach, default=0) <= now]
        for key in idle:
            del self.accounts[key]

    def _account(self, key: str, now: float) -> Account:
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account([now] * len(self.rates))
        return account


class Limits:
    """The limits of one node, which it shares with the others through Redis."""

    def __init__(
        self,
        scripts: Scripts,
        *,
        user: tuple[Rate, ...] = (),
        marks: tuple[Rate, ...] = (),
        events: tuple[Rate, ...] = (),
        address: tuple[Rate, ...] = (),
        service: tuple[Rate, ...] = (),
    ) -> None:
        self._scripts = scripts
        self._limits = {
            "user": Limit(user, "this user sends, creates or changes too much"),
            "marks": Limit(marks, "this user reports too many marks"),
            "events": Limit(events, "this user asks for too much"),
            "address": Limit(address, "there are too many requests from this address"),
            "service": Limit(service, "this service asks for too much"),
        }
        self._spent = asyncio.Event()
        self._forget_at = time.monotonic() + FORGET_S

    def spend_event(self, event: ClientEvent, user_id: str, items: int = 1) -> None:
        """Count a request of a user; `items`: those of a batch, each of which costs as much as a request of its
        class. Raises RateLimited.
        """
        of = EVENT_CLASSES[event]
        self._spend("events", user_id, SEARCH_EVENTS if of == EventClass.SEARCH else 1)
        match of:
            case EventClass.WRITE:
                self._spend("user", user_id, items)
            case EventClass.MARK:
                self._spend("marks", user_id, items)

    def spend_handshake(self, user_id: str) -> None:
        """Count a connection of a user. Raises RateLimited.

        One a second counts on this node only: when thousands return, other nodes need not be told of each.
        """
        self._spend("events", user_id, HANDSHAKE_EVENTS, quiet=True)

    def spend_address(self, address: str, cost: int = 1) -> None:
        """Count a handshake, with whatever token, or an HTTP request. Raises RateLimited.

        An empty address is not counted.
        """
        if address:
            self._spend("address", address, cost)

    def spend_service(self, name: str) -> None:
        """Count a request of a service. Raises RateLimited."""
        self._spend("service", name)

    async def share(self) -> None:
        """Exchange with Redis what is spent, until cancelled."""
        while True:
            await self._spent.wait()
            self._spent.clear()
            await self._share_once()
            await asyncio.sleep(SHARE_S)

    def _spend(self, kind: str, key: str, cost: int = 1, *, quiet: bool = False) -> None:
        limited = self._limits[kind]
        if not limited.rates:
            return
        wait = limited.spend(key, cost, time.monotonic(), quiet=quiet)
        if wait:
            ms = min(math.ceil(wait * 1000), MAX_WAIT_MS)
            raise RateLimited(f"{limited.what}: try again in {ms} ms", ms)
        self._spent.set()

    async def _share_once(self) -> None:
        for kind, limited in self._limits.items():
            unshared = [(key, account) for key, account in limited.accounts.items() if account.unshared]
            for start in range(0, len(unshared), SHARED_AT_ONCE):
                try:
                    await self._exchange(kind, limited.rates, unshared[start : start + SHARED_AT_ONCE])
                except RoomgraphError as exc:
                    log.info("limits were not shared: %s", exc)
                except Exception:
                    log.exception("limits could not be shared: kind=%s", kind)
        now = time.monotonic()
        if now > self._forget_at:
            self._forget_at = now + FORGET_S
            for limited in self._limits.values():
                limited.forget_idle(now)

    async def _exchange(self, kind: str, rates: tuple[Rate, ...], accounts: list[tuple[str, Account]]) -> None:
        """Add to Redis what was spent here, and take over what was spent elsewhere.

        Should the reply be lost the client library repeats it, and it is counted twice: too much by what was
        spent in a tenth of a second. When Redis is away it is not counted there, and each node goes by its own.
        """
        calls = []
        for key, account in accounts:
            cost, account.unshared = account.unshared, 0
            # Nodes together may overdraw once; nobody waits longer than twice the period for it.
            spent = [[round(cost * rate.each_s * 1e6), round(2 * rate.period_s * 1e6)] for rate in rates]
            calls.append(([limit(kind, key)], {"rates": spent}))
        asked_at = time.monotonic()
        replies = await self._scripts.many("spend", calls)
        midway = (asked_at + time.monotonic()) / 2  # about when Redis has counted it
        for (_, account), reply in zip(accounts, replies, strict=True):
            # What was spent since is not in the reply.
            account.reach = [
                max(until, midway + int(ahead) / 1e6 + account.unshared * rate.each_s)
                for until, ahead, rate in zip(account.reach, reply["ahead"], rates, strict=True)
            ]

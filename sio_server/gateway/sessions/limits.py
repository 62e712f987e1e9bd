"""How much a user and an address may ask for, on all nodes together.

Each limit is one or more rates, such as 20 a second and 600 a minute. A rate is a bucket that holds so many
requests and earns them again evenly (the generic cell rate algorithm). What is kept of it is one number: how far
what was spent reaches into the future. A node decides by what it knows, at once, and tells Redis of what was spent
beside the work itself; the answer says what has been spent on all nodes. So nothing waits for it, also when Redis
is away. What a user spends on several nodes in the moment before they have told each other is too much once, and
paid back: the next requests wait longer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass, field

from sio_server.protocol.errors import MAX_WAIT_MS, RateLimited, RoomgraphError
from sio_server.protocol.events import ClientEvent
from sio_server.store.keys import limit
from sio_server.store.scripts import Scripts
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

TELL_S = 0.1  # Redis is told at most so often
TOLD_AT_ONCE = 500
FORGET_S = 10.0
HANDSHAKE_EVENTS = 10  # what a handshake costs its user: it is more work than most events
GUEST_HANDSHAKES = 5  # what a guest's token costs its address: it makes a new user

# What writes or begins something that lasts; all else is counted as an event only.
DEEDS = frozenset(
    {
        ClientEvent.CONVERSATION_CREATE,
        ClientEvent.CONVERSATION_JOIN,
        ClientEvent.CONVERSATION_LEAVE,
        ClientEvent.CONVERSATION_INVITE,
        ClientEvent.MESSAGE_SEND,
        ClientEvent.MESSAGE_EDIT,
        ClientEvent.RUN_STOP,
        ClientEvent.RUN_REGENERATE,
        ClientEvent.INTERRUPT_RESPOND,
        ClientEvent.DEVICE_RENAME,
        ClientEvent.DEVICE_SIGN_OUT,
    }
)

_PERIODS_S = {"second": 1, "minute": 60, "hour": 3600}


@dataclass(frozen=True)
class Rate:
    """So many in so many seconds: at once, and then evenly."""

    count: int
    period_s: int

    @property
    def each_s(self) -> float:
        """How long one takes to be earned again."""
        return self.period_s / self.count


def parse_rates(text: str) -> tuple[Rate, ...]:
    """The rates of a setting, such as `20/second;600/minute`; none for `off`."""
    if text == "off":
        return ()
    parts = (part.strip().partition("/") for part in text.split(";"))
    return tuple(Rate(int(count), _PERIODS_S[period.strip()]) for count, _, period in parts)


@dataclass
class _Account:
    """What a user or an address has spent under the rates of a limit, as far as this node knows."""

    reach: list[float]  # for each rate: until when what was spent counts, by the monotonic clock
    untold: int = 0


@dataclass
class _Limit:
    rates: tuple[Rate, ...]
    what: str  # in words
    accounts: dict[str, _Account] = field(default_factory=dict)

    def spend(self, who: str, cost: int, now: float) -> float:
        """Spend, or return how many seconds to wait; a refusal costs nothing."""
        account = self.accounts.get(who)
        if account is None:
            account = self.accounts[who] = _Account([now] * len(self.rates))
        wait = 0.0
        reach = []
        for until, rate in zip(account.reach, self.rates, strict=True):
            # What costs more than the rate ever holds is let through when it is full.
            after = max(until, now) + min(cost, rate.count) * rate.each_s
            wait = max(wait, after - now - rate.period_s)
            reach.append(after)
        if wait <= 1e-6:
            account.reach = reach
            account.untold += cost
            return 0.0
        return wait


class Limits:
    """The limits of one node, which it shares with the others through Redis."""

    def __init__(
        self,
        scripts: Scripts,
        *,
        user: tuple[Rate, ...] = (),
        events: tuple[Rate, ...] = (),
        address: tuple[Rate, ...] = (),
    ) -> None:
        self._scripts = scripts
        self._limits = {
            "user": _Limit(user, "this user sends, creates or changes too much"),
            "events": _Limit(events, "this user asks for too much"),
            "address": _Limit(address, "there are too many requests from this address"),
        }
        self._spent = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell Redis what is spent."""
        self._task = asyncio.create_task(self._share(), name="limits")

    async def stop(self) -> None:
        """Tell nothing any more."""
        await end_tasks([self._task])

    def event(self, event: ClientEvent, user_id: str) -> None:
        """A user asks for something. Raises RateLimited."""
        self._spend("events", user_id)
        if event in DEEDS:
            self._spend("user", user_id)

    def handshake(self, user_id: str) -> None:
        """A user connects. Raises RateLimited."""
        self._spend("events", user_id, HANDSHAKE_EVENTS)

    def request(self, address: str, cost: int = 1) -> None:
        """Somebody connects, with whatever token, or asks over HTTP. Raises RateLimited."""
        if address:
            self._spend("address", address, cost)

    def _spend(self, kind: str, who: str, cost: int = 1) -> None:
        limited = self._limits[kind]
        if not limited.rates:
            return
        wait = limited.spend(who, cost, time.monotonic())
        if wait:
            ms = min(math.ceil(wait * 1000), MAX_WAIT_MS)
            raise RateLimited(f"{limited.what}: try again in {ms} ms", ms)
        self._spent.set()

    async def _share(self) -> None:
        forget_at = time.monotonic() + FORGET_S
        while True:
            await self._spent.wait()
            self._spent.clear()
            for kind, limited in self._limits.items():
                untold = [(who, account) for who, account in limited.accounts.items() if account.untold]
                for start in range(0, len(untold), TOLD_AT_ONCE):
                    await self._tell(kind, limited.rates, untold[start : start + TOLD_AT_ONCE])
            if time.monotonic() > forget_at:
                self._forget(time.monotonic())
                forget_at = time.monotonic() + FORGET_S
            await asyncio.sleep(TELL_S)

    async def _tell(self, kind: str, rates: tuple[Rate, ...], accounts: list[tuple[str, _Account]]) -> None:
        """Tell Redis of what was spent, and take over what was spent elsewhere.

        Should the reply be lost the client library repeats it, and it is counted twice: too much by what somebody
        spent in a tenth of a second. When Redis is away it is not counted there, and each node goes by its own.
        """
        calls = []
        for who, account in accounts:
            cost, account.untold = account.untold, 0
            # Nodes together may overdraw once; nobody waits longer than twice the period for it.
            spent = [[round(cost * rate.each_s * 1e6), round(2 * rate.period_s * 1e6)] for rate in rates]
            calls.append(([limit(kind, who)], {"rates": spent}))
        try:
            replies = await self._scripts.many("spend", calls)
        except RoomgraphError as exc:
            log.info("limits were not shared: %s", exc)
            return
        now = time.monotonic()
        for (_, account), reply in zip(accounts, replies, strict=True):
            # What was spent since is not in the reply.
            account.reach = [
                max(until, now + int(ahead) / 1e6 + account.untold * rate.each_s)
                for until, ahead, rate in zip(account.reach, reply["ahead"], rates, strict=True)
            ]

    def _forget(self, now: float) -> None:
        for limited in self._limits.values():
            idle = [w for w, a in limited.accounts.items() if not a.untold and max(a.reach, default=0) <= now]
            for who in idle:
                del limited.accounts[who]

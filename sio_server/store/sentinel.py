"""Redis Sentinel: which server is the primary now, by the newest answer of those sentinels that can be reached."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from sio_server.store.keys import stats
from sio_server.store.partitions import PARTITIONS
from sio_server.store.redis_py import AT_ONCE, close_now, leave_server, share_tls
from sio_server.store.undisputed import Answer, Named, Undisputed, read_answer
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

ASK_S = 1.0  # for one sentinel: to connect and to answer
LATE_S = 0.25  # for the others, when a majority has answered and all are waited for
WATCH_S = 1.0  # between two questions of `watch`, at the most

_How = tuple[type[AbstractConnection], dict[str, Any]]


class Sentinels:
    """The sentinels of one service, as all connections of this process ask them, from any thread.

    Each failover has a number, the configuration epoch. An answer with a lower one than was seen before is that of
    a sentinel which was cut off and still names the old primary: it is not believed, unless a majority says no
    more than that, because the sentinels were set up again. The first time a majority is waited for.
    """

    def __init__(self, service: str, sentinels: Sequence[_How]) -> None:
        self.service = service
        self._sentinels = sentinels
        self._lock = threading.Lock()
        self._newest: Named | None = None  # the answer that was believed last
        self._complained: set[tuple[str, int]] = set()  # sentinels of which the log says what is wrong with them
        self._confirmed: tuple[str, int] | None = None  # the server that has said last that it is the primary
        self._undisputed = Undisputed()
        self._watch_s = WATCH_S
        self._noted: Named | None = None  # the promotion that was noted there last
        self.open_one: Callable[[], Awaitable[None]] | None = None  # opens one connection, and closes it

    async def watch(self) -> None:
        """Leave a primary that was replaced and does not know it, until cancelled.

        One that was cut off from the others, and not from this process, accepts writes until Sentinel reaches it.
        """
        while True:
            await asyncio.sleep(self._watch_s)
            with contextlib.suppress(RedisConnectionError):
                await self.check_primary()

    async def check_primary(self) -> None:
        """Ask all sentinels, and leave the old primary if the newest answer names another.

        One that has refused to note by which failover it is the primary is asked again.
        """
        named = await self.primary(wait_for_all=True)  # which `is_undisputed` remembers
        with self._lock:
            confirmed, is_noted = self._confirmed, self._noted == named
            is_left = confirmed is not None and confirmed != (named.host, named.port)
            if is_left:
                self._confirmed = None  # it is left once
        if confirmed is None:
            return
        if is_left:
            log.warning("Sentinel has replaced the primary %s:%d: its connections are closed", *confirmed)
            leave_server(*confirmed)
        elif not is_noted and self.open_one is not None:
            try:
                await self.open_one()
            except (RedisError, OSError) as exc:
                log.info("the primary does not take note of the failover: %s", exc)

    async def is_undisputed(self, server: tuple[str, int] | None) -> bool:
        """Whether no failover can have replaced this server by now: see `undisputed.py`. Asks when it has to."""
        with self._lock:
            if self._undisputed.holds(server, time.monotonic()):
                return True
        with contextlib.suppress(RedisConnectionError):
            await self.primary(wait_for_all=True)
        with self._lock:
            return self._undisputed.holds(server, time.monotonic())

    async def primary(self, *, wait_for_all: bool = False) -> Named:
        """The primary, asked now. Raises ConnectionError of redis-py when no sentinel can name one.

        The first answer that may be believed counts, or with `wait_for_all` the newest.
        """
        answers: list[Answer] = []
        asked_at = time.monotonic()
        asking = [asyncio.create_task(self._ask(*how)) for how in self._sentinels]
        try:
            waiting = set(asking)
            while waiting:
                # One that is away does not hold up what the others say.
                many = 2 * len(answers) > len(asking)
                done, waiting = await asyncio.wait(
                    waiting, timeout=LATE_S if many else None, return_when=asyncio.FIRST_COMPLETED
                )
                answers += [answer for one in done if (answer := one.result()) is not None]
                if not wait_for_all and (believed := self._believe(answers, answered=False)) is not None:
                    return believed
                if not done:
                    break
        finally:
            await end_tasks(asking)
        with self._lock:
            self._undisputed.on_answers(answers, asked_at)
        if (believed := self._believe(answers, answered=True)) is not None:
            return believed
        said = f"{len(answers)} of {len(self._sentinels)} sentinels name a primary of {self.service}"
        raise RedisConnectionError(f"{said}, an older one than is known" if answers else said)

    def _believe(self, answers: list[Answer], *, answered: bool) -> Named | None:
        """The newest of these answers, if it may be believed; `answered`: no more will come."""
        if not answers:
            return None
        newest, many = max(answer.named for answer in answers), 2 * len(answers) > len(self._sentinels)
        with self._lock:
            known = self._newest
            is_newest = known is not None and newest.epoch >= known.epoch
            if not (is_newest or (many and (known is None or answered)) or (known is None and answered)):
                return None
            self._newest = newest
        if known is not None and newest.epoch < known.epoch:
            log.warning("the sentinels of %s have begun again to count failovers", self.service)
        return newest

    def confirm(self, named: Named) -> tuple[str, int] | None:
        """A server has said that it is the primary. Returns the one before, if that was another.

        Raises ConnectionError of redis-py when there was a failover since it was named.
        """
        here = (named.host, named.port)
        with self._lock:
            if self._newest is not None and named.epoch < self._newest.epoch:
                raise RedisConnectionError(f"{named.host}:{named.port} is the primary of {self.service} no more")
            before, self._confirmed = self._confirmed, here
        return before if before != here else None

    def to_note(self, named: Named) -> list[tuple[str, ...]]:
        """Commands that note in each partition by which failover this server is the primary; none if it is noted.

        A step on a conversation that was changed last before that failover begins a new epoch (`_entry.lua`): what
        the old primary has shown may be lost, and nothing else must take its place. So they come first. The
        first number that was ever noted is kept: what was there before it has seen no failover.
        """
        with self._lock:
            if self._noted == named:
                return []
        epoch = str(named.epoch)
        return [
            command
            for key in map(stats, range(PARTITIONS))
            for command in (("HSETNX", key, "primary0", epoch), ("HSET", key, "primary", epoch))
        ]

    def noted(self, named: Named) -> None:
        """That was done."""
        with self._lock:
            self._noted = named

    async def _ask(self, kind: type[AbstractConnection], given: dict[str, Any]) -> Answer | None:
        connection: Any = kind(
            **{**given, **AT_ONCE, "decode_responses": True},
            socket_timeout=ASK_S,
            socket_connect_timeout=ASK_S,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            share_tls(connection)
            async with asyncio.timeout(ASK_S):
                await connection.connect()
                # The address of a failover that is not over yet is in the first answer, its number in both.
                for what in ("GET-MASTER-ADDR-BY-NAME", "MASTER"):
                    await connection.send_command("SENTINEL", what, self.service)
                named = await connection.read_response()
                described = await connection.read_response()
        except (ResponseError, AuthenticationError) as exc:  # a wrong password, or no right to ask
            self._complain(connection, explain_refusal(str(exc)))
            return None
        except (RedisError, OSError, TimeoutError) as exc:
            log.info("a sentinel does not answer: %s", exc)
            return None
        finally:
            close_now(connection)
        if not named:
            self._complain(connection, explain_refusal("No such master with that name"))
            return None
        try:
            fields = dict(zip(described[::2], described[1::2], strict=True))
            watch_s = int(fields["down-after-milliseconds"]) / 3000
            answer = read_answer(named, fields, len(self._sentinels))
        except (KeyError, ValueError, TypeError, IndexError) as exc:
            self._complain(connection, f"its answer cannot be read: {exc!r}")
            return None
        with self._lock:
            self._complained.discard((connection.host, connection.port))
        self._watch_s = min(WATCH_S, watch_s)
        return answer

    def _complain(self, connection: Any, why: str) -> None:
        """Log what a person has to change, once until the sentinel answers."""
        server = (connection.host, connection.port)
        with self._lock:
            known = server in self._complained
            self._complained.add(server)
        if not known:
            log.warning("the sentinel %s:%s does not name the primary of %s: %s", *server, self.service, why)


# What a sentinel says, and what a person has to write instead.
_REFUSALS = (
    ("No such master", "it watches no such service; write the name that `sentinel monitor` has, .../NAME/0"),
    ("unknown command", "it is a Redis and no sentinel; write the port of the sentinel, 26379 by default"),
    ("uthentication required", "it asks for a password; write ?sentinel_password=..., which is not that of Redis"),
    ("username-password", "it refuses sentinel_password or sentinel_username; write those of the sentinels"),
    (
        "without any password",
        "it has no password; leave sentinel_password out. That of Redis comes before the @ of the URL",
    ),
    (
        "permission",
        "its user needs the rights to SENTINEL GET-MASTER-ADDR-BY-NAME and SENTINEL MASTER",
    ),
)


def explain_refusal(said: str) -> str:
    """What is wrong with REDIS_URL when a sentinel refuses to answer, and what it said."""
    hint = next((hint for part, hint in _REFUSALS if part in said), "")
    return f"{hint} ({said.strip()})" if hint else f"it refused: {said}"

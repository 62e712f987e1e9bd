"""Until when a server is the primary for certain, as sentinels have said; no I/O, no clock.

A primary that hung, or that some sentinels cannot reach, does not know that it was replaced, and a replica that
has not heard of the failover either confirms what is written there. So an ack that waits for replicas needs more
than their word: that no failover can have begun. Sentinels begin one when `quorum` of them have had no answer to a
ping for `down-after-milliseconds`, so each that has had one says how long it will not take the server for dead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

_NO_PROMISE = frozenset({"s_down", "o_down", "disconnected", "failover_in_progress"})


class Named(NamedTuple):
    """A sentinel's answer: the primary, and the count of failovers in which it became one."""

    epoch: int
    host: str
    port: int


class Answer(NamedTuple):
    """`safe_s`: for how long the sentinel will not take the server for dead, 0 if it may have done so by now.

    `needed`: of how many sentinels the same has to be known, so that the others are too few for a failover.
    """

    named: Named
    safe_s: float = 0.0
    needed: int = 1
    fails_over: bool = False


def read_answer(address: Sequence[str], master: Mapping[str, str], sentinels: int) -> Answer:
    """From SENTINEL GET-MASTER-ADDR-BY-NAME and SENTINEL MASTER; `sentinels`: how many are known here."""
    named = Named(int(master["config-epoch"]), str(address[0]), int(address[1]))
    flags = set(master["flags"].split(","))
    left_ms = int(master["down-after-milliseconds"]) - int(master["last-ping-sent"])
    there = max(sentinels, 1 + int(master["num-other-sentinels"]))
    return Answer(
        named,
        max(0, left_ms) / 1000 if flags.isdisjoint(_NO_PROMISE) else 0.0,
        max(1, there - int(master["quorum"]) + 1),
        "failover_in_progress" in flags,
    )


class Undisputed:
    """Which server was the primary for certain, and until when (on the caller's clock)."""

    def __init__(self) -> None:
        self._server: tuple[str, int] | None = None
        self._until = -inf

    def on_answers(self, answers: Sequence[Answer], asked_at: float) -> None:
        """All sentinels were asked, at this time. One that knows of a failover is believed against all others."""
        if not answers:
            return
        newest = max(answer.named for answer in answers)
        if any(answer.fails_over for answer in answers):
            self._until = -inf
            return
        agreeing = sorted((one.safe_s for one in answers if one.named == newest and one.safe_s), reverse=True)
        needed = max(answer.needed for answer in answers)
        server = (newest.host, newest.port)
        if len(agreeing) >= needed:
            self._server, self._until = server, asked_at + agreeing[needed - 1]
        elif server != self._server:
            self._until = -inf

    def holds(self, server: tuple[str, int] | None, now: float) -> bool:
        """Whether no failover can have replaced this server by now."""
        return server is not None and server == self._server and now < self._until

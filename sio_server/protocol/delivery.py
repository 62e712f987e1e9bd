"""Delivery of one conversation's entries: in order, each once, with every gap noticed.

The same object serves on both sides of the wire: a node holds one for each room it fans out to, and a
client holds one for each conversation it follows. It is given what came live and what was read from
the log, and answers with what to hand on and what to read. No I/O, no clock.

    state      on_entry(next)  on_entry(beyond)      on_entry(older)  on_page(entries)
    level      hand on         keep, ask for a read  drop             hand on
    behind     hand on         keep                  drop             hand on, then level or ask again
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sio_server.protocol.position import Position

T = TypeVar("T")

# Entries kept while a gap is read. What does not fit is not lost: it is read from the log as well.
BUFFER_LIMIT = 1000


@dataclass(frozen=True)
class Step(Generic[T]):
    """What to do now: hand on `entries` in this order, read the log above `read_after`, or start over."""

    entries: list[T] = field(default_factory=list)
    read_after: int | None = None
    reset: bool = False


class Delivery(Generic[T]):
    """In-order, once-only delivery from `position` on. At most one read is asked for at a time."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self._buffer: dict[int, T] = {}
        self._highest = position.seq  # the highest seq known to exist
        self._reading = False
        self._read_after = position.seq  # where the latest read began; live entries may have come since

    @property
    def highest(self) -> int:
        """The highest seq that anybody has named."""
        return self._highest

    @property
    def behind(self) -> bool:
        """True while entries are known to exist that have not been handed on."""
        return self._highest > self.position.seq

    def on_entry(self, epoch: str, seq: int, item: T) -> Step[T]:
        """An entry came over the bus or the socket."""
        if epoch != self.position.epoch:
            return Step(reset=True)
        if seq <= self.position.seq:
            return Step()
        self._highest = max(self._highest, seq)
        if seq == self.position.seq + 1 or len(self._buffer) < BUFFER_LIMIT:
            self._buffer[seq] = item
        return self._advance()

    def known_head(self, epoch: str, head: int) -> Step[T]:
        """The log reached `head` when it was looked at: ask for a read when that is ahead of us."""
        if epoch != self.position.epoch:
            return Step(reset=True)
        self._highest = max(self._highest, head)
        return self._advance()

    def on_page(self, epoch: str, head: int, items: Sequence[tuple[int, T]]) -> Step[T]:
        """The answer to a read: entries in ascending order, and the log's head when it was read.

        A page that does not join on to the position means the missing entries are older than the
        retention: the delivery has to start over from a snapshot.
        """
        self._reading = False
        if epoch != self.position.epoch or head < self._read_after:
            return Step(reset=True)
        self._highest = max(self._highest, head)
        if items and items[0][0] > self.position.seq + 1:
            return Step(reset=True)
        for seq, item in items:
            if seq > self.position.seq:
                self._buffer[seq] = item
        return self._advance()

    def read_failed(self) -> None:
        """The read that was asked for got no answer; `retry` asks for it again."""
        self._reading = False

    def retry(self) -> Step[T]:
        """Ask again for what is missing, if anything is."""
        return self._advance()

    def _advance(self) -> Step[T]:
        entries: list[T] = []
        seq = self.position.seq
        while seq + 1 in self._buffer:
            seq += 1
            entries.append(self._buffer.pop(seq))
        self.position = Position(self.position.epoch, seq)
        if not self.behind or self._reading:
            return Step(entries)
        self._reading = True
        self._read_after = seq
        return Step(entries, read_after=seq)

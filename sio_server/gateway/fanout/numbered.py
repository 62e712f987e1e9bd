"""Which events of one conversation's stream a node delivers: each once and in their order, with every gap noticed.

A conversation's events are numbered without a gap. What is missing is made good by a reading of the conversation:
all that had been published when it was read is in it, so only what comes meanwhile is kept. No I/O, no clock.

    state      next number  older  any other number      the reading is done
    in step    deliver      drop   ask for a reading     -
    reading    keep         keep   keep                  what was kept: deliver, drop, or ask again
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sio_server.protocol.position import Position

KEPT_LIMIT = 1000  # events kept while the conversation is read; should there be more, it is read again


class EntryHead(NamedTuple):
    """What a node knows of an entry that it delivers."""

    epoch: str
    seq: int
    ts: str
    type: str
    about: str  # the user of `member_left`, the run that the entry ends, or "-"


class StreamEvent(NamedTuple):
    """An event of a conversation's stream: its number, its frame for clients, and the head if it is an entry."""

    n: int
    frame: bytes
    entry: EntryHead | None


@dataclass(frozen=True)
class Step:
    """What to do now: deliver `events` in this order, then read the conversation if `read`."""

    events: list[StreamEvent] = field(default_factory=list)
    read: bool = False


class NumberedStream:
    """Delivery from event `n` on, which left the log at `position`. At most one reading is asked for at a time."""

    def __init__(self, position: Position, n: int) -> None:
        self.position = position  # of the last entry that was delivered
        self.n = n  # of the last event that was delivered
        self._reading = False
        self._kept: list[StreamEvent] = []

    def on_event(self, event: StreamEvent) -> Step:
        """An event came over the bus."""
        if not self._reading:
            return self._deliver([event])
        if len(self._kept) >= KEPT_LIMIT:
            self._kept.clear()
        self._kept.append(event)
        return Step()

    def missed(self) -> None:
        """Events may have been missed, and no reading is on: one begins now."""
        self._reading = True

    def begin_reading(self) -> None:
        """The conversation is read from now on: what came before is in what is read, or is false."""
        self._kept.clear()

    def on_read(self, head: Position, n: int) -> Step:
        """All entries up to `head` have been delivered, with the conversation as it was after its event `n`."""
        self.position, self.n = head, n
        kept, self._kept, self._reading = self._kept, [], False
        return self._deliver(kept)

    def _deliver(self, events: list[StreamEvent]) -> Step:
        found: list[StreamEvent] = []
        for event in events:
            n, entry, position = event.n, event.entry, self.position
            is_next, is_older = n == self.n + 1, n <= self.n
            if entry is not None:
                same = entry.epoch == position.epoch
                is_next = is_next and same and entry.seq == position.seq + 1
                is_older = is_older and same and entry.seq <= position.seq
                position = Position(entry.epoch, entry.seq)
            if is_next:
                self.position, self.n = position, n
                found.append(event)
            elif not is_older:
                self._reading = True
                return Step(found, read=True)
        return Step(found)

"""A conversation as followed by a client that was written from docs/protocol.md alone: section 7. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Envelope = Mapping[str, Any]


class Next(StrEnum):
    """What to ask the node for."""

    NOTHING = "nothing"
    SYNC = "sync"
    READ = "read"  # `history:read` after the position


@dataclass(slots=True)
class RawRoom:
    """The position, the buffer, and whether a catch-up is awaited. Each method returns the entries to show."""

    conversation_id: str
    epoch: str | None = None
    seq: int = 0
    syncing: bool = True
    member: bool = True  # False: it has left, or the node said that it is no member
    joining: bool = False  # it has asked to join, and has no answer yet
    next: Next = Next.NOTHING
    asked: bool = False  # a catch-up is on its way
    reading: bool = False  # a page is on its way: one at a time
    _buffer: dict[int, Envelope] = field(default_factory=dict)

    @property
    def position(self) -> dict[str, Any] | None:
        """As a request has it."""
        return None if self.epoch is None else {"epoch": self.epoch, "seq": self.seq}

    def disconnected(self) -> None:
        """The session has ended: the next one begins with a catch-up."""
        self.syncing, self.asked, self.reading, self.next = True, False, False, Next.NOTHING
        self._buffer.clear()

    def live(self, entry: Envelope) -> list[Envelope]:
        """An entry came live."""
        if self.syncing:
            self._buffer[entry["seq"]] = entry
            return []
        if entry["epoch"] != self.epoch:
            self.syncing, self.next = True, Next.SYNC
            return []
        if entry["seq"] <= self.seq:
            return []
        self._buffer[entry["seq"]] = entry
        return self._deliver(self.seq)

    def caught_up(self, result: Mapping[str, Any]) -> list[Envelope]:
        """The result of a catch-up came."""
        if result["verdict"] != "resumed":
            self.epoch, self.seq = result["position"]["epoch"], result["after"]
            self._buffer = {seq: e for seq, e in self._buffer.items() if e["epoch"] == self.epoch}
        self._add(result["entries"])
        self.syncing = self.asked = False
        return self._deliver(result["head"])

    def page(self, page: Mapping[str, Any]) -> list[Envelope]:
        """A page of `history:read` above the position came."""
        self.reading = False
        if self.syncing:
            return []
        entries = page["entries"]
        beyond = bool(entries) and entries[0]["seq"] > self.seq + 1
        if page["epoch"] != self.epoch or page["head"] < self.seq or beyond:
            self.syncing, self.next = True, Next.SYNC
            return []
        self._add(entries)
        return self._deliver(page["head"])

    def _add(self, entries: Iterable[Envelope]) -> None:
        self._buffer.update((entry["seq"], entry) for entry in entries)

    def _deliver(self, head: int) -> list[Envelope]:
        shown: list[Envelope] = []
        for seq in [seq for seq in self._buffer if seq <= self.seq]:
            del self._buffer[seq]
        while (entry := self._buffer.pop(self.seq + 1, None)) is not None:
            shown.append(entry)
            self.seq += 1
        behind = head > self.seq or bool(self._buffer)
        self.next = Next.READ if behind and not self.reading else Next.NOTHING
        return shown

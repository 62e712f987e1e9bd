"""A conversation as followed by a client that was written from docs/protocol.md alone, section 6. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Envelope = Mapping[str, Any]


@dataclass(slots=True)
class RawRoom:
    """The position, `n`, and what is kept for the answer to a sync. Each method returns the entries to show.

    `wants_sync`: a sync is to be asked for; whoever asks sets it back.
    """

    conversation_id: str
    epoch: str | None = None
    seq: int = 0
    n: int = 0
    syncing: bool = True
    member: bool = True  # False: it has left, or the node said that it is no member
    joining: bool = False  # it has asked to join, and has no answer yet
    asked: bool = False  # a sync is on its way
    wants_sync: bool = False
    _kept: list[Envelope] = field(default_factory=list)
    _named: float = 0  # the highest n of an event or result that was not kept

    @property
    def position(self) -> dict[str, Any] | None:
        """As a request has it."""
        return None if self.epoch is None else {"epoch": self.epoch, "seq": self.seq}

    def disconnected(self) -> None:
        """The session has ended: the next one begins with a sync."""
        self.syncing, self.asked, self.wants_sync, self._named = True, False, False, 0
        self._kept.clear()

    def live(self, event: Envelope) -> list[Envelope]:
        """An event of the conversation's stream came."""
        if self.syncing:
            self._kept.append(event)
            return []
        return self._apply([event])

    def reset(self) -> None:
        """The log has started over."""
        self._kept.clear()
        if self.asked:
            self._named = float("inf")  # the answer on its way may be from before
        self.wants_sync = not self.asked
        self.syncing = True

    def is_stale(self, result: Mapping[str, Any]) -> bool:
        """Whether an answer says nothing that is not known, as when its request was repeated."""
        return not self.syncing and result["position"]["epoch"] == self.epoch and result["n"] <= self.n

    def caught_up(self, result: Mapping[str, Any]) -> list[Envelope]:
        """An answer to a join or a sync came, which is not stale."""
        if result["verdict"] != "resumed":
            self.epoch, self.seq = result["position"]["epoch"], result["after"]
        shown = [entry for entry in result["entries"] if entry["seq"] > self.seq]
        self.seq = max(self.seq, result["position"]["seq"])
        self.asked, self.syncing = False, True
        if result["more"]:
            self.wants_sync = True
            return shown
        self.n, self.syncing = result["n"], False
        kept, self._kept = sorted(self._kept, key=lambda event: int(event["n"])), []
        shown += self._apply(kept)
        if self._named > self.n and not self.syncing:
            self.syncing = self.wants_sync = True
        self._named = 0
        return shown

    def synced(self, result: Mapping[str, Any]) -> list[Envelope]:
        """`conversation:synced` came, which is not stale."""
        if self.syncing:
            self._named = max(self._named, result["n"])
            return []
        if result["position"]["epoch"] != self.epoch or result["after"] > self.seq:
            self.syncing = self.wants_sync = True
            return []
        return self.caught_up(result)

    def _apply(self, events: Iterable[Envelope]) -> list[Envelope]:
        shown = []
        for event in events:
            is_entry = "seq" in event
            place = (event["epoch"], event["seq"]) if is_entry else None
            if self.syncing:
                self._kept.append(event)
            elif event["n"] == self.n + 1 and place in (None, (self.epoch, self.seq + 1)):
                self.n += 1
                if is_entry:
                    self.seq += 1
                    shown.append(event)
            elif event["n"] > self.n:
                self.syncing = self.wants_sync = True
                self._kept.append(event)
        return shown

"""What a client has seen of each conversation, and what to request next. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sio_server.protocol.delivery import Delivery, Step
from sio_server.protocol.events import Entry
from sio_server.protocol.position import Position


@dataclass(frozen=True)
class SessionCard:
    """What the server says after a join or a reconnect: the verdict, its reason, and what happened meanwhile."""

    user_id: str
    verdict: str
    reason: str
    replayed: int  # entries that were missed, or that the snapshot holds
    history: int  # entries in the log
    last_activity: str
    unfinished_run: dict[str, Any] | None


@dataclass(frozen=True)
class Outcome:
    """What the application gets, and what to read next.

    `reset`: why all entries seen before are void; the entries then begin a new view.
    """

    entries: list[Entry] = field(default_factory=list)
    read_after: int | None = None
    reset: str | None = None
    sync: bool = False


class Following:
    """One conversation that a device follows, across all its connections.

    Live entries that arrive before the answer to a join or sync are kept; after it they are delivered or dropped.
    """

    def __init__(self, conversation_id: str, position: Position | None = None) -> None:
        self.conversation_id = conversation_id
        self.card: SessionCard | None = None
        self._delivery: Delivery[Entry] | None = None
        self._position = position
        self._early: list[Entry] = []
        self._syncing = True

    @property
    def position(self) -> Position | None:
        """The position of the latest entry delivered to the application; None before the first answer."""
        return self._delivery.position if self._delivery else self._position

    @property
    def level(self) -> bool:
        """True when nothing is known to be missing."""
        return not self._syncing and self._delivery is not None and not self._delivery.behind

    def disconnected(self) -> None:
        """The connection is lost: whatever was asked for will not be answered."""
        self._syncing = True
        self._early.clear()
        if self._delivery is not None:
            self._delivery.read_failed()

    def on_entry(self, entry: Entry) -> Outcome:
        """A live entry arrived."""
        if self._syncing or self._delivery is None:
            self._early.append(entry)
            return Outcome()
        return self._outcome(self._delivery.on_entry(entry.epoch, entry.seq, entry))

    def synced(self, result: Mapping[str, Any]) -> Outcome:
        """The answer to a join or a sync came: the verdict, the card and the first page."""
        # A newer server may say more.
        self.card = SessionCard(**{item.name: result["card"][item.name] for item in fields(SessionCard)})
        epoch, head, after = result["position"]["epoch"], result["head"], result["after"]
        had_seen = self.position is not None
        reset = str(result["reason"]) if result["verdict"] == "reset" and had_seen else None
        if self._delivery is None or result["verdict"] != "resumed":
            self._delivery = Delivery(Position(epoch, after))
        self._syncing = False
        entries = [Entry.model_validate(item) for item in result["entries"]]
        outcome = self._outcome(self._delivery.on_page(epoch, head, [(entry.seq, entry) for entry in entries]))
        early, self._early = self._early, []
        for entry in early:
            if outcome.sync:
                break
            more = self.on_entry(entry)
            read_after = more.read_after if more.read_after is not None else outcome.read_after
            outcome = Outcome(outcome.entries + more.entries, read_after, None, more.sync)
        return Outcome(outcome.entries, outcome.read_after, reset, outcome.sync)

    def page(self, epoch: str, head: int, entries: Sequence[Entry]) -> Outcome:
        """The answer to a read of history above the position."""
        if self._syncing or self._delivery is None:
            return Outcome()
        return self._outcome(self._delivery.on_page(epoch, head, [(entry.seq, entry) for entry in entries]))

    def read_failed(self) -> Outcome:
        """A read got no answer: what to read now."""
        if self._syncing or self._delivery is None:
            return Outcome()
        self._delivery.read_failed()
        return self._outcome(self._delivery.retry())

    def _outcome(self, step: Step[Entry]) -> Outcome:
        if step.reset:
            # The server will say why in its answer to a sync.
            self._syncing = True
            self._early.clear()
            return Outcome(step.entries, sync=True)
        return Outcome(step.entries, step.read_after)

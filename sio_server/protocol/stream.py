"""One conversation as a client follows it: its entries in order, what is hidden, unfinished runs, open interrupts.

A conversation's events are numbered by `n` without a gap. A client that has applied number n applies n + 1, drops
what is older, and syncs when a number is missing. While a sync is on its way, events are kept, also as long as the
answers say that there is `more`; the answer is applied, then the kept events above its `n`. No I/O, no clock.

    state     event n+1  event above n+1       event to n  answer to a sync
    in step   apply      keep, ask for a sync  drop        apply when above n
    syncing   keep       keep                  keep        apply, then what was kept; in step, or ask again
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sio_server.protocol.events import MAX_REPORTS, Entry, EntryType, ServerEvent
from sio_server.protocol.position import Position, Verdict

# Events kept while a sync is on its way. Above this they are dropped, and a second sync brings what they said.
KEPT_LIMIT = 1000

_FINAL = frozenset({EntryType.ANSWER, EntryType.INTERRUPT, EntryType.STOPPED, EntryType.FAILED})


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Part(_Wire):
    """One part of what a run writes: `text` grows; `data` is that of an image, a file, a citation and so on."""

    part: int
    kind: str = "text"
    speaker: str = ""
    text: str = ""
    data: dict[str, Any] | None = None
    cut: bool = False  # more was said than is streamed: the final entry has it all


class Run(_Wire):
    """A run that has not ended, as `run:changed` and sync results carry it; `withdrawn` is kept by the client."""

    run_id: str
    turn_id: int
    status: str  # queued, running, stalled, or one that a newer server knows
    attempt: int
    version: int
    node: str = ""
    replaces: int | None = None
    parts: list[Part] = []
    reports: list[dict[str, Any]] = []
    withdrawn: list[Part] = []  # the parts of the latest earlier version that wrote something

    @property
    def text(self) -> str:
        """The text so far, a blank line between two parts."""
        return _text_of(self.parts)

    @property
    def withdrawn_text(self) -> str:
        """The text of the version before, which no longer holds; empty when there was none."""
        return _text_of(self.withdrawn)


class _Written(_Wire):
    run_id: str
    version: int
    parts: list[Part] = []
    reports: list[dict[str, Any]] = []


@dataclass
class Step:
    """What an input led to: `entries` to hand on in this order, and the seqs that are `hidden` from now on.

    `reset`: why all entries handed on before are void; `entries` then begin a new view. `sync`: ask for a sync
    from `position` now. `runs`: ids of the runs that changed or ended.
    """

    entries: list[Entry] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)
    reset: str | None = None
    sync: bool = False
    runs: list[str] = field(default_factory=list)


class Stream:
    """Follows one conversation from `position` (None: from a snapshot). It begins with a sync on its way."""

    def __init__(self, position: Position | None = None) -> None:
        self.position = position  # of the latest entry handed on
        self.n = 0  # the number of the latest event applied
        self.hidden: set[int] = set()
        self.runs: dict[str, Run] = {}  # those that have not ended, in the order of their turns
        self.interrupts: dict[str, Any] = {}  # open ones: interrupt id -> value
        self._syncing = True
        self._kept: list[tuple[int, str, Mapping[str, Any]]] = []
        self._named = 0.0  # an answer below this n is not enough

    @property
    def in_step(self) -> bool:
        """True when nothing is known to be missing."""
        return not self._syncing

    def on_event(self, event: str, payload: Mapping[str, Any]) -> Step:
        """A stream event came. One without a usable `n` is ignored."""
        step = Step()
        n = payload.get("n")
        if isinstance(n, int) and not isinstance(n, bool):
            self._on_number(step, n, event, payload)
        return step

    def on_answer(self, result: Mapping[str, Any]) -> Step:
        """The answer to a create, a join or a sync of this conversation came."""
        step = Step()
        if self._syncing or self._is_news(result):
            self._apply_result(step, result)
        return step

    def on_synced(self, result: Mapping[str, Any]) -> Step:
        """`conversation:synced` came: a node that had missed something sends a result by itself."""
        step = Step()
        if self._syncing:
            self._named = max(self._named, result["n"])
        elif self._is_news(result):
            self._apply_result(step, result)
        return step

    def on_reset(self) -> Step:
        """`conversation:reset` came: the log has started over, and the node no longer sends its events."""
        step = Step()
        self._kept.clear()
        if self._syncing:
            self._named = float("inf")  # the answer on its way may be from before
        else:
            self._ask(step)
        return step

    def disconnected(self) -> None:
        """The connection is lost: the next one begins with a sync of every conversation."""
        self._syncing, self._named = True, 0.0
        self._kept.clear()

    def _on_number(self, step: Step, n: int, event: str, payload: Mapping[str, Any]) -> None:
        if self._syncing or self.position is None:
            if len(self._kept) >= KEPT_LIMIT:
                self._kept.clear()  # what comes next leaves a gap after the answer
            self._kept.append((n, event, payload))
        elif n > self.n + 1 or (n == self.n + 1 and not self._apply_event(step, event, payload)):
            self._ask(step)
            self._kept.append((n, event, payload))
        elif n == self.n + 1:
            self.n = n

    def _is_news(self, result: Mapping[str, Any]) -> bool:
        other = self.position is None or result["position"]["epoch"] != self.position.epoch
        return other or result["n"] > self.n

    def _ask(self, step: Step) -> None:
        self._syncing = True
        step.sync = True

    def _apply_event(self, step: Step, event: str, payload: Mapping[str, Any]) -> bool:
        """Apply the next event; ignore a malformed or unknown one. False: an entry before it is missing."""
        try:
            match event:
                case ServerEvent.ENTRY_APPENDED:
                    return self._apply_entry(step, Entry.model_validate(payload))
                case ServerEvent.RUN_CHANGED:
                    self._apply_run(step, Run.model_validate(payload.get("run")))
                case ServerEvent.RUN_WRITTEN:
                    self._apply_written(step, _Written.model_validate(payload))
        except ValidationError:
            pass
        return True

    def _apply_entry(self, step: Step, entry: Entry) -> bool:
        assert self.position is not None
        if entry.epoch != self.position.epoch or entry.seq > self.position.seq + 1:
            return False
        if entry.seq <= self.position.seq:
            return True
        self.position = entry.position
        step.entries.append(entry)
        self._hide(step, entry.hides if entry.hidden_by is None else (*entry.hides, entry.seq))
        run_id = str(entry.data.get("run_id"))
        if entry.type in _FINAL and run_id in self.runs:
            del self.runs[run_id]
            step.runs.append(run_id)
        if entry.type == EntryType.INTERRUPT:
            self._open(entry.data.get("interrupts"))
        elif entry.type == EntryType.INTERRUPT_RESOLVED:
            self.interrupts.pop(str(entry.data.get("interrupt_id")), None)
        return True

    def _apply_run(self, step: Step, run: Run) -> None:
        known = self.runs.get(run.run_id)
        if known is not None and run.version < known.version:
            return
        if known is not None and run.version == known.version:
            run.parts, run.reports, run.withdrawn = known.parts, known.reports, known.withdrawn
        else:
            run.withdrawn = _withdrawn(known)
        self.runs[run.run_id] = run
        step.runs.append(run.run_id)

    def _apply_written(self, step: Step, written: _Written) -> None:
        run = self.runs.get(written.run_id)
        if run is None or run.version != written.version:
            return
        for item in written.parts:
            part = next((part for part in reversed(run.parts) if part.part == item.part), None)
            if part is None:
                run.parts.append(item)
            else:
                part.text += item.text
                part.cut = part.cut or item.cut
        run.reports += written.reports
        del run.reports[:-MAX_REPORTS]
        step.runs.append(run.run_id)

    def _apply_result(self, step: Step, result: Mapping[str, Any]) -> None:
        """Take a sync result: its entries, and with the last page what it says of runs and interrupts."""
        epoch, after = result["position"]["epoch"], result["after"]
        if self.position is None or result["verdict"] != Verdict.RESUMED:
            step.reset = str(result["reason"]) if self.position is not None else None
            step.runs += self.runs
            self.position, self.n = Position(epoch, after), 0
            self.hidden, self.runs, self.interrupts = set(), {}, {}
        named, self._named = self._named, 0.0
        joins_on = epoch == self.position.epoch and after <= self.position.seq
        whole = joins_on and all(self._apply_entry(step, Entry.model_validate(item)) for item in result["entries"])
        if not whole or result["more"]:
            self._named = named
            self._ask(step)
            return
        self._see_runs(step, [Run.model_validate(item) for item in result["runs"]])
        self.interrupts = {}
        self._open(result["interrupts"])
        self.n, self._syncing = result["n"], False
        kept, self._kept = sorted(self._kept, key=lambda item: item[0]), []
        for n, event, payload in kept:
            self._on_number(step, n, event, payload)
        if not self._syncing and named > self.n:
            self._ask(step)

    def _see_runs(self, step: Step, runs: list[Run]) -> None:
        before, self.runs = self.runs, {}
        for run in runs:
            known = before.pop(run.run_id, None)
            same = known is not None and known.version >= run.version
            run.withdrawn = known.withdrawn if known is not None and same else _withdrawn(known)
            self.runs[run.run_id] = run
            step.runs.append(run.run_id)
        step.runs += before

    def _hide(self, step: Step, seqs: Iterable[int]) -> None:
        for seq in seqs:
            if seq not in self.hidden:
                self.hidden.add(seq)
                step.hidden.append(seq)

    def _open(self, interrupts: Any) -> None:
        for item in interrupts if isinstance(interrupts, list) else ():
            if isinstance(item, dict) and isinstance(item.get("interrupt_id"), str):
                self.interrupts[item["interrupt_id"]] = item.get("value")


def _withdrawn(known: Run | None) -> list[Part]:
    """What a version after `known` has withdrawn."""
    if known is None:
        return []
    return known.parts or known.withdrawn


def _text_of(parts: Iterable[Part]) -> str:
    return "\n\n".join(part.text for part in parts if part.kind == "text" and part.text)

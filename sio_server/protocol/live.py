"""What a conversation shows beside its entries: the text of runs so far, and open questions.

The same rules hold on every device. Deltas may be lost, come twice, or come before the answer to a join; a
gap is noticed, and another view of the conversation fills it. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sio_server.protocol.events import Entry, EntryType, ServerEvent

_ENDED_KEPT = 100


@dataclass
class LiveRun:
    """A run that has not ended: the text and the reports of its latest attempt."""

    run_id: str
    attempt: int = 0
    text: str = ""
    updates: list[dict[str, Any]] = field(default_factory=list)
    _waiting: dict[int, str] = field(default_factory=dict)  # deltas beyond a gap, by offset

    def begin(self, attempt: int) -> None:
        """A later attempt: the text of earlier ones is void."""
        if attempt > self.attempt:
            self.attempt, self.text = attempt, ""
            self._waiting.clear()

    def add(self, offset: int, text: str) -> bool:
        """Join a delta on; returns whether something before it is missing."""
        self._waiting[offset] = max(text, self._waiting.get(offset, ""), key=len)
        for at in sorted(self._waiting):
            if at > len(self.text):
                return True
            self.text += self._waiting.pop(at)[len(self.text) - at :]
        return False

    def see(self, text: str, updates: Sequence[dict[str, Any]]) -> None:
        """What the conversation was seen to hold of this attempt at some moment."""
        self.add(0, text)
        self.report(*updates)

    def report(self, *updates: Mapping[str, Any]) -> None:
        """Updates came, in any order, and perhaps again."""
        known = {(update["attempt"], update["number"]): update for update in (*self.updates, *updates)}
        self.updates = [dict(known[place]) for place in sorted(known)]


class Live:
    """One conversation as a device follows it."""

    def __init__(self) -> None:
        self.runs: dict[str, LiveRun] = {}
        self.interrupts: dict[str, Any] = {}  # interrupt id -> value, in the order of asking
        self._ended: dict[str, None] = {}  # runs, of late
        self._resolved: dict[str, None] = {}  # interrupts, of late

    def on_event(self, event: str, payload: Mapping[str, Any]) -> bool:
        """A `run:*` event came; returns whether another view of the conversation is needed."""
        run_id = payload["run_id"]
        if event == ServerEvent.RUN_FINISHED:
            self._end(run_id)
        if run_id in self._ended:
            return False
        run = self.runs.setdefault(run_id, LiveRun(run_id))
        if event == ServerEvent.RUN_SUPERSEDED:
            run.begin(payload["attempt"] + 1)
        elif payload["attempt"] >= run.attempt:
            run.begin(payload["attempt"])
            if event == ServerEvent.RUN_DELTA:
                return run.add(payload["offset"], payload["text"])
            if event == ServerEvent.RUN_UPDATE:
                run.report(payload)
        return False

    def on_entry(self, entry: Entry) -> None:
        """An entry was handed on, in its order."""
        if "run_id" in entry.data and entry.type in (
            EntryType.ANSWER,
            EntryType.INTERRUPT,
            EntryType.STOPPED,
            EntryType.FAILED,
        ):
            self._end(entry.data["run_id"])
        if entry.type == EntryType.INTERRUPT:
            self.interrupts = {item["interrupt_id"]: item["value"] for item in entry.data["interrupts"]}
        elif entry.type == EntryType.INTERRUPT_RESOLVED:
            self.interrupts.pop(entry.data["interrupt_id"], None)
            _remember(self._resolved, entry.data["interrupt_id"])

    def on_view(
        self,
        unfinished: Mapping[str, Any] | None,
        interrupts: Sequence[Mapping[str, Any]],
        *,
        starts_over: bool = False,
    ) -> None:
        """The answer to a join or sync: the unfinished run, and the open interrupts.

        It may be older than the events that came since, so it takes nothing back; entries say what has ended
        meanwhile. Only a view that `starts_over`, with a snapshot, drops what was before it.
        """
        if starts_over:
            self.runs.clear()
            self.interrupts.clear()
        for item in interrupts:
            if item["interrupt_id"] not in self._resolved:
                self.interrupts[item["interrupt_id"]] = item["value"]
        if unfinished is None or unfinished["run_id"] in self._ended:
            return
        run = self.runs.setdefault(unfinished["run_id"], LiveRun(unfinished["run_id"]))
        run.begin(unfinished["attempt"])
        if run.attempt == unfinished["attempt"]:
            run.see(unfinished["text"], unfinished["updates"])

    def _end(self, run_id: str) -> None:
        self.runs.pop(run_id, None)
        _remember(self._ended, run_id)


def _remember(known: dict[str, None], item: str) -> None:
    known[item] = None
    if len(known) > _ENDED_KEPT:
        known.pop(next(iter(known)))

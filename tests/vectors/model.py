"""The server's side of one conversation, as far as a client sees it: the truth that clients are compared with."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from sio_server.protocol.position import LogBounds, Position, judge
from tests.vectors.replay import entry

Event = tuple[str, dict[str, Any]]


class ModelConversation:
    """A log, its numbered stream, unfinished runs, open interrupts. Each method returns the event it publishes."""

    def __init__(self) -> None:
        self.epoch = "e1"
        self.n = 0
        self.log: list[dict[str, Any]] = []
        self.hidden: dict[int, int] = {}  # seq -> the entry that hides it
        self.runs: dict[str, dict[str, Any]] = {}
        self.interrupts: dict[str, Any] = {}
        self.names = 0

    @property
    def head(self) -> int:
        return len(self.log)

    def append(self, kind: str = "message", hides: tuple[int, ...] = (), **data: Any) -> Event:
        """Append an entry; its run ends, its interrupts open or close."""
        fields: dict[str, Any] = {"data": data} if data or kind != "message" else {}
        if fresh := [seq for seq in hides if seq not in self.hidden]:
            fields["hides"] = fresh
        self.log.append(entry(self.head + 1, kind, epoch=self.epoch, **fields))
        for seq in fresh:
            self.hidden[seq] = self.head
        if kind != "message":
            self.runs.pop(data.get("run_id", ""), None)
        for item in data.get("interrupts", ()):
            self.interrupts[item["interrupt_id"]] = item["value"]
        self.interrupts.pop(data.get("interrupt_id", ""), None)
        return self._publish("entry:appended", **self.log[-1])

    def begin(self, run_id: str = "") -> Event:
        """Queue a run."""
        self.names += 1
        run_id = run_id or f"r{self.names}"
        self.runs[run_id] = {
            "run_id": run_id,
            "turn_id": 1,
            "status": "queued",
            "attempt": 0,
            "version": 0,
            "node": "",
            "replaces": None,
            "parts": [],
            "reports": [],
        }
        return self._publish("run:changed", run=self.runs[run_id])

    def claim(self, run_id: str) -> Event:
        """A node begins the next attempt: a new version, which has said nothing."""
        run = self.runs[run_id]
        version = run["version"] + 1
        run.update(status="running", attempt=version, version=version, node="9201", parts=[], reports=[])
        return self._publish("run:changed", run=run)

    def stall(self, run_id: str) -> Event:
        """Its owner is silent."""
        self.runs[run_id]["status"] = "stalled"
        return self._publish("run:changed", run={**self.runs[run_id], "parts": [], "reports": []})

    def write(self, run_id: str, part: int, text: str) -> Event:
        """Append text to a part that is there, or to the next."""
        run, said = self.runs[run_id], {"kind": "text", "speaker": "Concierge"}
        first = part == len(run["parts"])
        if first:
            run["parts"].append({"part": part, **said, "text": ""})
        run["parts"][part]["text"] += text
        where = {"part": part, "text": text}
        return self.written(run_id, parts=[{**where, **(said if first else {})}])

    def report(self, run_id: str) -> Event:
        """The graph says what it does."""
        run = self.runs[run_id]
        report = {"number": len(run["reports"]) + 1, "kind": "custom", "data": "…"}
        run["reports"].append(report)
        return self.written(run_id, reports=[report])

    def written(self, run_id: str, parts: Sequence[Any] = (), reports: Sequence[Any] = ()) -> Event:
        """What its node shows of it."""
        version = self.runs[run_id]["version"]
        return self._publish("run:written", run_id=run_id, version=version, parts=[*parts], reports=[*reports])

    def start_over(self) -> Event:
        """The log is lost: a new epoch, with new numbers."""
        self.epoch += "x"
        self.n, self.log, self.hidden, self.runs, self.interrupts = 0, [], {}, {}, {}
        self.append("conversation_created")
        return "conversation:reset", {"conversation_id": "c"}

    def result(self, position: Position | None, page: int = 200) -> dict[str, Any]:
        """A sync result, with at most `page` entries."""
        judgement = judge(position, LogBounds(self.epoch, 1, self.head), 5)
        last = min(self.head, judgement.after + page)
        entries = [
            {**item, "hidden_by": self.hidden[item["seq"]]} if item["seq"] in self.hidden else item
            for item in self.log[judgement.after : last]
        ]
        result = {
            "conversation_id": "c",
            "verdict": judgement.verdict.value,
            "reason": judgement.reason.value,
            "position": {"epoch": self.epoch, "seq": last},
            "after": judgement.after,
            "head": self.head,
            "more": last < self.head,
            "n": self.n,
            "entries": entries,
            "runs": list(self.runs.values()),
            "interrupts": [{"interrupt_id": name, "value": value} for name, value in self.interrupts.items()],
        }
        return copy.deepcopy(result)

    def _publish(self, event: str, **payload: Any) -> Event:
        self.n += 1
        return event, copy.deepcopy({"conversation_id": "c", "n": self.n, **payload})

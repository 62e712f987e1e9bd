"""A conversation as a scripted server tells it: its log, its numbered stream, and the answer to a sync. No I/O."""

from __future__ import annotations

from typing import Any

ROOM = "conformance"
TS = "2026-11-23T07:12:00.844Z"
AGENT = {"role": "assistant", "user_id": "agent:script", "name": "Script"}
SETTINGS = {
    **{"title": "Conformance", "access": "open", "agent": "always", "graph": "script"},
    **{"multitask_strategy": "enqueue", "approvals": "members", "invites": "members"},
}

Event = tuple[str, dict[str, Any]]


class ScriptedRoom:
    """Each method that changes something returns the event of the stream that tells it."""

    def __init__(self, epoch: str = "epoch-1") -> None:
        self.epoch = epoch
        self.n = 0
        self.entries: list[dict[str, Any]] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.questions: dict[str, dict[str, Any]] = {}
        self.entry("conversation_created", {"user_id": "script", "name": "Script", **SETTINGS})

    @property
    def position(self) -> dict[str, Any]:
        """Of the newest entry."""
        return {"epoch": self.epoch, "seq": len(self.entries)}

    def start_over(self) -> None:
        """The log gets a new epoch and loses its newest entry."""
        self.epoch += "-again"
        self.entries.pop()
        self.entries = [{**entry, "epoch": self.epoch} for entry in self.entries]

    def event(self, name: str, **fields: Any) -> Event:
        """The next event of the stream."""
        self.n += 1
        return name, {"conversation_id": ROOM, "n": self.n, **fields}

    def entry(self, type: str, data: dict[str, Any], **more: Any) -> Event:
        """Append an entry."""
        head = {"v": 2, "conversation_id": ROOM, "epoch": self.epoch, "seq": len(self.entries) + 1}
        entry = {**head, "type": type, "ts": TS, "data": data, **more}
        for hidden in more.get("hides", []):
            self.entries[hidden - 1]["hidden_by"] = entry["seq"]
        self.entries.append(entry)
        self.runs.pop(data["run_id"], None) if data.get("role") == "assistant" else None
        return self.event("entry:appended", **{k: v for k, v in entry.items() if k != "conversation_id"})

    def message(self, text: str, **more: Any) -> Event:
        """Append a message of a person."""
        data = {"role": "user", "user_id": "script", "name": "Script", "device_id": "script", "text": text}
        data["request_id"] = f"script-{self.n}"
        return self.entry("message", data, turn_id=len(self.entries) + 1, **more)

    def run(self, run_id: str, version: int, status: str = "running") -> Event:
        """A run has begun, or begins again in a higher version."""
        known = self.runs.get(run_id, {"version": -1})
        if known["version"] != version:
            state = {"run_id": run_id, "turn_id": 1, "attempt": version, "version": version, "node": "script"}
            known = self.runs[run_id] = {**state, "replaces": None, "parts": [], "reports": []}
        known["status"] = status
        return self.event("run:changed", run={**known, "parts": [], "reports": []})

    def write(self, run_id: str, text: str) -> Event:
        """The run says more, in its only part."""
        run, first = self.runs[run_id], {"kind": "text", "speaker": "Script"}
        new = not run["parts"]
        if new:
            run["parts"].append({"part": 0, **first, "text": ""})
        run["parts"][0]["text"] += text
        part = {"part": 0, "text": text, **(first if new else {})}
        return self.event("run:written", run_id=run_id, version=run["version"], parts=[part], reports=[])

    def answer(self, run_id: str, text: str, **more: Any) -> Event:
        """The run ends."""
        run = {"run_id": run_id, "attempt": self.runs[run_id]["version"], "input_seq": 1}
        return self.entry("answer", {**AGENT, **run, "text": text, "tools": []}, turn_id=1, **more)

    def result(self, position: dict[str, Any] | None, limit: int = 200) -> dict[str, Any]:
        """The answer to a sync from this position: what a member may know now."""
        known = position if position is not None and position["epoch"] == self.epoch else None
        verdict, reason = ("resumed", "position_valid") if known else ("reset", "new_epoch")
        if position is None:
            verdict, reason = "snapshot", "no_position"
        after, head = (known["seq"] if known else 0), len(self.entries)
        entries = self.entries[after : after + limit]
        card = {"user_id": "me", "verdict": verdict, "reason": reason, "replayed": head - after, "history": head}
        return {
            **{"conversation_id": ROOM, "verdict": verdict, "reason": reason, "after": after, "n": self.n},
            **{"position": {"epoch": self.epoch, "seq": after + len(entries)}, "head": head},
            **{"more": after + len(entries) < head, "entries": [dict(entry) for entry in entries]},
            "runs": [{**run, "parts": [dict(part) for part in run["parts"]]} for run in self.runs.values()],
            **{"interrupts": list(self.questions.values()), **SETTINGS, "owner": "script", "role": "member"},
            **{"reads": {}, "delivered": [], "draft": None, "card": {**card, "last_activity": TS}},
        }

    def shown_with_next(self) -> dict[str, Any]:
        """What a client shows once it has the next entry: seqs of current entries, the text of unfinished runs."""
        current = [entry["seq"] for entry in self.entries if "hidden_by" not in entry]
        return {
            "entries": [*current, len(self.entries) + 1],
            "runs": {run_id: "".join(part["text"] for part in run["parts"]) for run_id, run in self.runs.items()},
        }

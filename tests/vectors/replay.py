"""Plays the steps of a case on the Python side, and says what it did; `make` explains the form of both."""

from __future__ import annotations

from typing import Any

from sio_server.protocol.delivery import Delivery
from sio_server.protocol.delivery import Step as Given
from sio_server.protocol.events import Entry
from sio_server.protocol.live import Live
from sio_server.protocol.position import Position

TS = "2026-11-23T07:12:00.844Z"


def replay_delivery(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a case, each with what it gives."""
    delivery: Delivery[int] = Delivery(Position(case["epoch"], case["seq"]))
    steps = []
    for step in case["steps"]:
        given: list[Given[int]] = []
        match step["do"]:
            case ["entry", epoch, seq]:
                given = [delivery.on_entry(epoch, seq, seq)]
            case ["flood", epoch, first, last]:
                given = [delivery.on_entry(epoch, seq, seq) for seq in range(first, last + 1)]
            case ["page", epoch, head]:
                given = [delivery.on_page(epoch, head, [])]
            case ["page", epoch, head, first, last]:
                given = [delivery.on_page(epoch, head, [(seq, seq) for seq in range(first, last + 1)])]
            case ["read_failed"]:
                delivery.read_failed()
        entries = [entry for one in given for entry in one.entries]
        reads = [one.read_after for one in given if one.read_after is not None]
        assert entries == list(range(entries[0], entries[-1] + 1)) if entries else True
        assert len(reads) < 2
        gives: dict[str, Any] = {"do": step["do"]}
        if entries:
            gives["hand_on"] = [entries[0], entries[-1]]
        if reads:
            gives["read_after"] = reads[0]
        if any(one.reset for one in given):
            gives["reset"] = True
        steps.append({**gives, "seq": delivery.position.seq, "behind": delivery.behind})
    return steps


def replay_live(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a case, each with what it gives."""
    live = Live()
    steps = []
    for step in case["steps"]:
        gives: dict[str, Any] = {"do": step["do"]}
        match step["do"]:
            case ["event", event, payload]:
                gives["missing"] = live.on_event(event, payload)
            case ["view", unfinished, starts_over]:
                live.on_view(unfinished, [], starts_over=starts_over)
            case ["entry", kind, run_id]:
                data = {"run_id": run_id, "interrupts": []}
                where = {"v": 1, "conversation_id": "c", "epoch": "e1", "seq": 1}
                live.on_entry(Entry.model_validate({**where, "type": kind, "ts": TS, "data": data}))
        gives["runs"] = [
            [run.run_id, run.attempt, run.text, [u["number"] for u in run.updates if u["attempt"] == run.attempt]]
            for run in live.runs.values()
        ]
        steps.append(gives)
    return steps

"""Plays the steps of a case on the Python side, and says what it did; `make` explains the form of both."""

from __future__ import annotations

from typing import Any

from sio_server.protocol.position import Position
from sio_server.protocol.stream import Step, Stream

Case = dict[str, Any]
TS = "2026-11-23T07:12:00.844Z"


def entry(seq: int, kind: str = "message", epoch: str = "e1", **fields: Any) -> dict[str, Any]:
    """An entry as pages hold it; `data` and what else it carries are in `fields`."""
    data = {"text": f"text {seq}"} if kind == "message" else {}
    envelope = {"v": 2, "conversation_id": "c", "epoch": epoch, "seq": seq, "type": kind, "ts": TS}
    return {**envelope, "data": data, **fields}


def flooded(number: int) -> dict[str, Any]:
    """The event of a flood with this number."""
    return {**entry(number), "n": number}


def perform(stream: Stream, do: list[Any]) -> list[Step]:
    """Carry out one step."""
    match do:
        case ["event", name, payload]:
            return [stream.on_event(name, payload)]
        case ["answer", result]:
            return [stream.on_answer(result)]
        case ["synced", result]:
            return [stream.on_synced(result)]
        case ["reset"]:
            return [stream.on_reset()]
        case ["disconnected"]:
            stream.disconnected()
            return []
        case ["flood", first, last]:
            return [stream.on_event("entry:appended", flooded(n)) for n in range(first, last + 1)]
    raise ValueError(f"{do} is no step")


def outcome(steps: list[Step]) -> dict[str, Any]:
    """What steps led to, without what is empty."""
    gives = {
        "entries": [entry.seq for step in steps for entry in step.entries],
        "hidden": sorted(seq for step in steps for seq in step.hidden),
        "reset": next((step.reset for step in steps if step.reset), None),
        "sync": any(step.sync for step in steps),
    }
    return {name: value for name, value in gives.items() if value}


def state(stream: Stream) -> dict[str, Any]:
    """What a client knows of the conversation."""
    position = stream.position
    return {
        "position": position and {"epoch": position.epoch, "seq": position.seq},
        "n": stream.n,
        "in_step": stream.in_step,
        "hidden": sorted(stream.hidden),
        "runs": [as_told(run.model_dump()) for run in stream.runs.values()],
        "interrupts": [[interrupt_id, value] for interrupt_id, value in stream.interrupts.items()],
    }


def as_told(run: dict[str, Any]) -> dict[str, Any]:
    """A run as it is on the wire: parts without data have no such field, nor have those that are not cut."""
    for said in (run["parts"], run["withdrawn"]):
        said[:] = [
            {name: value for name, value in part.items() if value is not None and value is not False}
            for part in said
        ]
    return run


def replay(case: Case) -> Case:
    """The case with the outcome of each step, and the state after the last."""
    at = case["position"]
    stream = Stream(at and Position(at["epoch"], at["seq"]))
    steps = [{"do": step["do"], **outcome(perform(stream, step["do"]))} for step in case["steps"]]
    return {"name": case["name"], "position": at, "steps": steps, "state": state(stream)}

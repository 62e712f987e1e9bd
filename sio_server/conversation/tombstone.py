"""What is left of an archived entry that was deleted, as scripts leave it in the log (`_tombstone.lua`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sio_server.store.json_text import to_json

DELETABLE = ("message", "answer", "interrupt", "stopped")
_LEFT = (
    *("role", "user_id", "name", "device_id", "request_id", "run_id", "attempt", "input_seq", "replaces"),
    *("edits", "rolled_back"),
)


def tombstone(text: str, named: Mapping[str, Any] | None = None) -> str:
    """The envelope without what it said. `named`: what its data says of its author from now on."""
    envelope = json.loads(text)
    known = {**envelope["data"], **(named or {})}
    data = {name: known[name] for name in _LEFT if known.get(name) is not None} | {"text": ""}
    if envelope["type"] == "answer":
        data["tools"] = []
    if envelope["type"] == "interrupt":
        data["interrupts"] = []
    envelope.pop("pages", None)
    return to_json({**envelope, "data": data | {"deleted": True}})

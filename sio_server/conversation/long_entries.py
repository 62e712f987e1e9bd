"""Final entries whose data is too long for the log: what is shown of them there.

The whole data is kept in pages beside the log (`read_long.lua`). What the log has still has the form of its entry:
its text is the beginning, and each question keeps its id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sio_server.protocol.events import ENTRY_BYTES_SHOWN
from sio_server.store.json_text import to_json

_CHARACTERS = (16384, 8192)  # of each text of the entry
_OF_QUESTIONS = ((4096, 50), (256, 50), (16, 5))  # characters of each text, items of each list and object


def shorten(data: dict[str, Any]) -> dict[str, Any]:
    """Data whose JSON has at most ENTRY_BYTES_SHOWN bytes: the parts and tools go, then texts are cut.

    Only a graph that asks thousands of questions at once may exceed it: an id is never dropped.
    """
    shorter = data
    for shorter in _ever_shorter(data):
        if len(to_json(shorter).encode()) <= ENTRY_BYTES_SHOWN:
            break
    return shorter


def _ever_shorter(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    shown = {name: value for name, value in data.items() if name != "parts"}
    if "tools" in shown:
        shown["tools"] = []
    for characters in _CHARACTERS:
        shown = {name: value[:characters] if isinstance(value, str) else value for name, value in shown.items()}
        yield shown
    asked: list[dict[str, Any]] = shown.get("interrupts", [])
    # The form of a question says how it is answered: it is cut last.
    for characters, items in _OF_QUESTIONS:
        yield shown | {"interrupts": [item | {"value": _cut(item["value"], characters, items)} for item in asked]}
    for characters, items in _OF_QUESTIONS:
        cut = [
            {
                name: value if name == "interrupt_id" else _cut(value, characters, items)
                for name, value in item.items()
            }
            for item in asked
        ]
        yield shown | {"interrupts": [item | {"value": None} for item in cut]}


def _cut(value: Any, characters: int, items: int) -> Any:
    if isinstance(value, str):
        return value[:characters]
    if isinstance(value, list):
        return [_cut(item, characters, items) for item in value[:items]]
    if isinstance(value, dict):
        return {name: _cut(item, characters, items) for name, item in list(value.items())[:items]}
    return value

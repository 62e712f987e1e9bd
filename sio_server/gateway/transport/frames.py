"""How deep the JSON of a frame is nested, before anything reads it."""

from __future__ import annotations

import re

# Enough for the list of an event, its payload, and the answer to an interrupt, which has a limit of its own.
MAX_DEPTH = 16

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def utf8_size(text: str) -> int:
    """How many bytes the text takes; most frames are ASCII, and need no copy to be measured."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def is_too_deep(frame: str) -> bool:
    """Whether lists and objects are nested deeper than MAX_DEPTH; decided without recursion, in one pass."""
    if frame.count("[") + frame.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", frame)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False

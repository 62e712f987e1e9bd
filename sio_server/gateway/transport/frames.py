"""How deep the JSON of a frame is nested, before anything reads it."""

from __future__ import annotations

import re

# What a request may hold: the list of the event, its payload, and the answer to an interrupt with its own limit.
MAX_DEPTH = 16

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


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

"""Whether a text is one emoji, as people see it."""

from __future__ import annotations

import re
import unicodedata

MAX_REACTION_BYTES = 32  # of UTF-8
_SYMBOLS = frozenset("‼⁉↔〰")  # emoji that Unicode does not count as "other symbols"
# A flag; or a keycap; or symbols with their marks, joined to one.
_ONE = re.compile("RR|DV?K|BV?M?T*(JBV?M?)*")


def _kind(character: str) -> str:
    """R: half of a flag, D: a digit, B: a symbol, M: a colour of skin, V, J, K, T: marks of a sequence."""
    if "\U0001f1e6" <= character <= "\U0001f1ff":
        return "R"
    if "\U0001f3fb" <= character <= "\U0001f3ff":
        return "M"
    if "\U000e0020" <= character <= "\U000e007f":
        return "T"
    if character in "\ufe0f\u200d\u20e3":
        return "VJK"["\ufe0f\u200d\u20e3".index(character)]
    if character in "0123456789#*":
        return "D"
    return "B" if character in _SYMBOLS or unicodedata.category(character) == "So" else "?"


def is_emoji(text: str) -> bool:
    """Whether it is one emoji of at most MAX_REACTION_BYTES."""
    if not text or len(text) > MAX_REACTION_BYTES or len(text.encode("utf-8", "replace")) > MAX_REACTION_BYTES:
        return False
    return _ONE.fullmatch("".join(map(_kind, text))) is not None

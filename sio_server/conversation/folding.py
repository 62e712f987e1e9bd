"""Texts as a search compares them: without case and without the marks on letters, so that `cafe` finds `Café`."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left

# Accents of Latin, Greek and Cyrillic letters, Hebrew points, Arabic vowels. Marks of other scripts, such as the
# voiced sound marks of Japanese, make another letter.
_MARKS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670]+")


def fold(text: str) -> str:
    """A text without case and marks. It may have another length, see `index_in`."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", text))).casefold()


def index_in(text: str, at: int) -> int:
    """Where the character stands in a text that is at this index of the folded text."""
    if text.isascii():
        return at
    # The first beginning of the text whose folded form reaches beyond the index ends with that character.
    return bisect_left(range(len(text)), at + 1, key=lambda index: len(fold(text[: index + 1])))


def needle_of(wanted: str) -> str:
    """The longest part of a folded text that Redis can look for in the JSON of an entry; it folds ASCII only.

    It is empty if there is none; then each entry may contain the text. Entries with marked letters may contain it
    in another form: those Redis does not judge (search_log.lua).
    """
    parts, part = [""], ""
    for c in wanted:
        if (c in '"\\/' or ord(c) < 32 or ord(c) == 127) or (not c.isascii() and c.upper() != c):
            parts.append(part)
            part = ""
        else:
            part += c
    return max([*parts, part], key=len)

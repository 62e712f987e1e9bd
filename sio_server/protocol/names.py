"""Names of people, devices and conversations: what may stand in one, and how it is shown in a line of text.

A name stands beside other text: what turns the direction of that, or shows nothing and makes two names look the
same, has no place in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from sio_server.protocol.run import AGENT_PREFIX, agent_name
from sio_server.protocol.text import is_blank, is_invisible, valid_unicode

_LINES = frozenset({"Cc", "Zl", "Zp"})  # controls and line breaks
_JOINERS = "\u200c\u200d"  # which emoji, Persian and the scripts of India need between two characters
# What shows nothing although its category does not say so, other than the selectors that emoji and Mongolian need.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2065\u2800\u3164\uffa0")
_NEED_NO_JOINER = ("LATIN", "GREEK", "CYRILLIC", "CJK", "HIRAGANA", "KATAKANA", "HANGUL")


def hidden_character(name: str) -> str:
    """The first character that must not stand in a name, as people are told of it; '' if there is none.

    These are controls, format characters such as those that turn the direction of the text, and what has no width.
    """
    if name.isascii() and name.isprintable():  # most names
        return ""
    found = next((name[at] for at in _hidden(name)), "")
    return found and f"U+{ord(found):04X} {unicodedata.name(found, 'a control character')}"


def clean_name(name: str) -> str:
    """The name as one line of valid Unicode, with nothing hidden in it; '' if it shows nothing."""
    if name.isascii() and name.isprintable():
        return name.strip(" ")
    name = valid_unicode(name)
    # What stood between two joiners may be gone.
    while hidden := set(_hidden(name)):
        name = "".join(
            " " if at in hidden and unicodedata.category(character) in _LINES else character
            for at, character in enumerate(name)
            if at not in hidden or unicodedata.category(character) in _LINES
        )
    cleaned = name.strip()
    return "" if is_blank(cleaned) else cleaned


def _hidden(name: str) -> Iterable[int]:
    """Where characters are hidden in a name."""
    around = ["", *name, ""]
    for at, character in enumerate(name):
        category = unicodedata.category(character)
        if (
            category in _LINES
            or character in _FILLERS
            or (category == "Cf" and not (character in _JOINERS and _joins(around[at], around[at + 2])))
        ):
            yield at


def _joins(before: str, after: str) -> bool:
    """Whether a joiner between these two characters may change how they look."""
    return all(
        one > "\u007f"
        and (one == "\ufe0f" or not is_invisible(one))
        and not unicodedata.name(one, "").startswith(_NEED_NO_JOINER)
        for one in (before, after)
    )


# What moves the cursor of a terminal, or turns the direction of what is printed after it.
_UNPRINTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ISOLATE, _END = "\u2068", "\u2069"


def printable(text: str) -> str:
    """A text of others for a terminal: no character of it moves the cursor, or reaches beyond it."""
    return _UNPRINTED.sub("\ufffd", text)


def printable_name(name: str) -> str:
    """A name for a terminal, isolated from what stands beside it when it is written from right to left."""
    shown = printable(name)
    if shown.isascii() or not any(unicodedata.bidirectional(one) in ("R", "AL", "AN") for one in shown):
        return shown
    return f"{_ISOLATE}{shown}{_END}"


class AgentNames:
    """The names under which the agents of a server speak; nobody else is to be shown under one of them."""

    def __init__(self, graphs: Iterable[str]) -> None:
        """`graphs`: the names of the graphs that the server runs."""
        self._taken = {_look(name) for name in ("agent", "assistant", "concierge", "智能体", "助手")}
        for graph in graphs:
            self._taken |= {_look(graph), _look(agent_name(graph)), _look(AGENT_PREFIX + graph)}
        self._taken.discard("")

    def include(self, name: str) -> bool:
        """Whether a name reads as one of an agent, whatever its case, width, accents and invisible characters.

        Letters of other scripts that look like Latin ones count as those.
        """
        return _look(name) in self._taken


# What is taken for a Latin letter: letters of other scripts, digits and signs, in lower case; an l for an i.
_LOOKALIKES = str.maketrans(
    {
        other: letter
        for letter, others in {
            **{
                "a": "\u0430\u03b1@4",
                "b": "\u0432\u03b28",
                "c": "\u0441\u03f2",
                "d": "\u0501",
                "e": "\u0435\u03b53",
            },
            **{
                "g": "\u0261",
                "h": "\u04bb\u043d",
                "i": "\u0456\u0131\u03b9\u04cf1l|!",
                "j": "\u0458",
                "k": "\u043a\u03ba",
            },
            **{"m": "\u043c", "n": "\u0578\u043f", "o": "\u043e\u03bf0", "p": "\u0440\u03c1", "q": "\u051b"},
            **{"r": "\u0433", "s": "\u04555$", "t": "\u0442\u03c4", "u": "\u03c5", "v": "\u03bd", "w": "\u051d"},
            **{"x": "\u0445\u03c7", "y": "\u0443\u03b3"},
        }.items()
        for other in others
    }
)


def _look(name: str) -> str:
    """A name as it is read at a glance: without case, width, accents, spaces and punctuation."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", valid_unicode(name)).casefold())
    return "".join(filter(str.isalnum, folded.translate(_LOOKALIKES)))

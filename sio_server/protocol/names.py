"""Names of people and devices: cleaned for a line of text, and told apart from those of agents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from sio_server.protocol.run import AGENT_PREFIX, agent_name
from sio_server.protocol.text import is_blank, is_invisible, valid_unicode

# Controls and line breaks; and the marks that turn the direction of the text which follows the name.
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_name(name: str) -> str:
    """The name as one line of valid Unicode, without white space around it; '' if it shows nothing."""
    if name.isascii() and name.isprintable():  # most names
        return name.strip(" ")
    kept = (
        " " if unicodedata.category(character) in _CONTROLS else character
        for character in valid_unicode(name)
        if character not in _DIRECTIONS
    )
    cleaned = "".join(kept).strip()
    return "" if is_blank(cleaned) else cleaned


class AgentNames:
    """The names under which the agents of a server speak; nobody else is to be shown under one of them."""

    def __init__(self, graphs: Iterable[str]) -> None:
        """`graphs`: the names of the graphs that the server runs."""
        self._taken = {_look("agent")}
        for graph in graphs:
            self._taken |= {_look(graph), _look(agent_name(graph)), _look(AGENT_PREFIX + graph)}

    def include(self, name: str) -> bool:
        """Whether a name reads as one of an agent, whatever the case, the width and what is invisible in it."""
        return _look(name) in self._taken


def _look(name: str) -> str:
    if name.isascii() and name.isprintable():
        return name.lower().replace(" ", "")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", valid_unicode(name)).casefold())
    return "".join(character for character in folded if not is_invisible(character))

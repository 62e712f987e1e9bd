"""Titles that graphs give: `set_title` for their nodes, and what a graph has set as a run reads it."""

from __future__ import annotations

from typing import Any

from langgraph.config import get_stream_writer

from sio_server.protocol.names import clean_name

MAX_TITLE = 200  # characters
SHORT_TITLE = 60  # of one that is made of a text
_KEY = "roomgraph_title"


def set_title(title: str) -> None:
    """Call the conversation so, if nobody but an agent has given it a title.

    For the nodes of graphs. Outside of a run, as in a test of a node, it does nothing.
    """
    try:
        write = get_stream_writer()
    except RuntimeError:
        return
    write({_KEY: title})


def title_of(text: str) -> str:
    """A title made of the beginning of a text; empty if the text has none."""
    line = " ".join(text.split())
    if len(line) <= SHORT_TITLE:
        return line
    cut = line[: SHORT_TITLE - 1]
    words = cut.rpartition(" ")[0]
    return f"{words if len(words) > SHORT_TITLE // 2 else cut}…"  # Chinese has no spaces


def title_in(part: Any) -> str | None:
    """The title that a part of a graph's stream sets, as it may be shown; None if it sets none."""
    if not isinstance(part, dict) or set(part) != {_KEY}:
        return None
    line = " ".join(clean_name(str(part[_KEY])).split())
    # Once more: what the cut has left alone, such as a joiner, is not shown either.
    return clean_name(line[:MAX_TITLE]) or None

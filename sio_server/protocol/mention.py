"""Whom a message speaks to."""

from __future__ import annotations

import re

# What stands before may be Chinese, which needs no space, but not a mail address.
_MENTION = re.compile(r"(?<![A-Za-z0-9_@.+-])@([A-Za-z0-9](?:[A-Za-z0-9_-]|[.:](?=[A-Za-z0-9]))*)", re.ASCII)


def mentions(text: str) -> list[str]:
    """The names after an `@` in a text, in lower case, each once.

    `agent` always means the agent; so does the name of the conversation's graph, such as `concierge`.
    """
    return list(dict.fromkeys(name.lower() for name in _MENTION.findall(text)))

"""Whether a message speaks to the agent."""

from __future__ import annotations

import re

# What stands before may be Chinese, which needs no space, but not a mail address.
# "@agent" always works; "@concierge" is the name people see.
_MENTION = re.compile(r"(?<![A-Za-z0-9_@.+-])@(agent|concierge)(?![A-Za-z0-9_-])", re.IGNORECASE)


def mentions_agent(text: str) -> bool:
    """True when the text holds `@agent` or `@concierge` as a word, in any case."""
    return _MENTION.search(text) is not None

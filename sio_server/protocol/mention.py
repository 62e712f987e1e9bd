"""Whom a message speaks to."""

from __future__ import annotations

import re
import unicodedata

# What stands before may be Chinese, which needs no space, but not a mail address.
_MENTION = re.compile(r"(?<![A-Za-z0-9_@.+-])@([A-Za-z0-9](?:[A-Za-z0-9_-]|[.:](?=[A-Za-z0-9]))*)", re.ASCII)

# What NFKC turns into a full stop or colon ends a name, as any other punctuation of Chinese does.
_PUNCTUATION = dict.fromkeys(map(ord, "．：︓﹒﹕․"), " ")


def mentions(text: str) -> list[str]:
    """The names after an `@` in a text, in lower case, each once.

    `agent` always means the agent; so does the name of the conversation's graph, such as `concierge`. Full-width
    forms (`＠ａｇｅｎｔ`, as Chinese and Japanese keyboards write them) count as the ASCII ones, by NFKC.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_PUNCTUATION))
    return list(dict.fromkeys(name.lower() for name in _MENTION.findall(text)))

"""Whom a message speaks to."""

from __future__ import annotations

import re
import unicodedata

# What stands before may be Chinese, which needs no space, but not a mail address.
_MENTION = re.compile(r"(?<![A-Za-z0-9_@.+-])@([A-Za-z0-9](?:[A-Za-z0-9_-]|[.:](?=[A-Za-z0-9]))*)", re.ASCII)

# What NFKC turns into a full stop or colon ends a name, as any other punctuation of Chinese does.
_SIGNS = "@\uff20\ufe6b"  # what is an @, by NFKC
_PUNCTUATION = dict.fromkeys(map(ord, "．：︓﹒﹕․"), " ")


def mentions(text: str) -> list[str]:
    """The names after an `@` in a text, in lower case, each once.

    `agent` always means the agent; so does the name of the conversation's graph, such as `concierge`. Full-width
    forms (`＠ａｇｅｎｔ`, as Chinese and Japanese keyboards write them) count as the ASCII ones, by NFKC.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_PUNCTUATION))
    return list(dict.fromkeys(name.lower() for name in _MENTION.findall(text)))


def may_mention(text: str) -> bool:
    """Whether a text has the sign at all: most have not, and need not be searched."""
    return "@" in text or (not text.isascii() and any(sign in text for sign in _SIGNS))


# People's names and ids, in any script. Both a half-width and a full-width sign are typed.
_PERSON = re.compile(r"(?<![A-Za-z0-9_@.+-])[@\uff20]([^\W_][\w.@+:|~-]*)")
_ENDING = ".@+:|~-"  # of a sentence, more likely than of a name
_MAX_PEOPLE = 50
_MAX_PERSON = 200


def mentioned_people(text: str) -> str:
    """Whom a text mentions, as it is kept beside its entry: " name name ", in lower case, or ""."""
    named = (found.rstrip(_ENDING)[:_MAX_PERSON].lower() for found in _PERSON.findall(text))
    people = list(dict.fromkeys(named))[:_MAX_PEOPLE]
    return f" {' '.join(people)} " if people else ""


def mention_marks(user_id: str, name: str) -> list[str]:
    """What to look for in `mentioned_people`: the user's id, and the name without spaces.

    Chinese and Japanese write no space after a name: one that ends in such a letter is found at the beginning of
    what follows the sign.
    """
    called = (re.sub(r"\s", "", one).rstrip(_ENDING)[:_MAX_PERSON].lower() for one in (user_id, name))
    return [f" {one}" if one[-1].upper() == one[-1] and one[-1].isalpha() else f" {one} " for one in called if one]

"""The page's modules without their comments, as they are sent: there they are bytes that nobody reads."""

from __future__ import annotations

import re

# The code before a comment at the end of a line. A text that holds " // " has one quotation mark before it.
_BEFORE_COMMENT = re.compile(
    r"""
    ( (?: [^"'`/\n] | "[^"\n]*" | '[^'\n]*' | `[^`\n]*` | /(?!/) )* [;,{}()\[\]] )  # whole texts only
    [ ]+ // [ ] .*
    """,
    re.VERBOSE,
)


def strip_comments(source: str) -> str:
    """JavaScript or CSS without its comments, but for those between code; the other lines keep their numbers.

    A line that begins with a comment is one, and what follows ` // ` outside of a text, behind the end of a
    statement or of a part of one: in our modules no template literal has such a line.
    """
    kept: list[str] = []
    inside = False
    for line in source.split("\n"):
        text = line.strip()
        begins = inside or text.startswith("/*")
        if begins:
            inside = not text.endswith("*/")
        code = "" if begins or text.startswith("//") else line
        if " // " in code and (found := _BEFORE_COMMENT.fullmatch(code)):
            code = found[1]
        kept.append(code)
    return "\n".join(kept)

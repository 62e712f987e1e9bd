"""The page's modules without their comments, as they are sent: there they are bytes that nobody reads."""

from __future__ import annotations


def strip_comments(source: str) -> str:
    """JavaScript or CSS without the comments that have lines of their own; the other lines keep their numbers.

    A line that begins with a comment is one: in our modules no template literal has such a line.
    """
    kept: list[str] = []
    inside = False
    for line in source.split("\n"):
        text = line.strip()
        begins = inside or text.startswith("/*")
        if begins:
            inside = not text.endswith("*/")
        kept.append("" if begins or text.startswith("//") else line)
    return "\n".join(kept)

"""Text of clients: whether it is Unicode, and whether it shows anything."""

from __future__ import annotations

import re
import unicodedata

# What shows nothing although its category does not say so: fillers, blank Braille, joiners, variation selectors,
# and the rest of Unicode's Default_Ignorable_Code_Point.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})  # controls, format characters, half pairs, spaces


def valid_unicode(text: str) -> str:
    """The text with U+FFFD for each unpaired surrogate: no log and no socket can carry one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def is_invisible(character: str) -> bool:
    """Whether a character shows nothing by itself: white space, a control, or of zero width."""
    return unicodedata.category(character) in _INVISIBLE or bool(_IGNORABLE.match(character))


def is_blank(text: str) -> bool:
    """Whether a text shows nothing at all; so is an empty one."""
    if "!" <= text[:1] <= "~":
        return False
    return all(is_invisible(character) for character in text)

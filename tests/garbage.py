"""What a test has left open: connections and files complain when they are collected as garbage."""

from __future__ import annotations

import gc
import sys


def complaints() -> list[str]:
    """Collect garbage; return what its objects complain of, such as a session that nobody has closed.

    Without this they are collected at some time, in the middle of another test, which is then reported.
    """
    found: list[str] = []

    def note(complaint: sys.UnraisableHookArgs) -> None:
        found.append(f"{complaint.exc_value!r} of {complaint.object!r}")

    hook, sys.unraisablehook = sys.unraisablehook, note
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook
    return found

"""How many files and sockets a process may have open: shells often allow 1024, which is a thousand clients."""

from __future__ import annotations

import sys

WANTED = 65_536


def raise_open_files(wanted: int = WANTED) -> int:
    """Allow this process `wanted` open files, as far as the system lets it; return how many it may have now."""
    if sys.platform == "win32":
        return wanted  # there is no such limit on sockets
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return wanted if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # macOS has a lower limit than the one that it names
        return soft
    return allowed

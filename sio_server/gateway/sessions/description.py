"""What a node tells clients of itself in `session:opened`: its version, its limits and what it can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sio_server.gateway.sessions.limits import Rate
from sio_server.protocol.events import (
    MAX_DEVICE_NAME,
    MAX_FILES,
    MAX_FRAME_BYTES,
    MAX_INVITES,
    MAX_MARKED,
    MAX_PAGE_ENTRIES,
    MAX_SYNC_CONVERSATIONS,
    MAX_TEXT_BYTES,
)

PRODUCT = "roomgraph"


@dataclass(frozen=True)
class Description:
    """The settings of a server that its clients need to know."""

    writes: Sequence[Rate] = ()
    marks: Sequence[Rate] = ()
    events: Sequence[Rate] = ()
    conversations: int = 0  # that a session may follow; 0: any number
    file_bytes: int = 0  # of a file of a message; 0: there are no files
    features: Sequence[str] = ()

    def to_wire(self) -> dict[str, Any]:
        """The fields `server`, `limits` and `features`. No rate and no number mean that there is no limit."""
        rates = {"writes": self.writes, "marks": self.marks, "events": self.events}
        return {
            "server": {"name": PRODUCT, "version": _VERSION},
            "limits": {
                "frame_bytes": MAX_FRAME_BYTES,
                "text_bytes": MAX_TEXT_BYTES,
                "page_entries": MAX_PAGE_ENTRIES,
                "sync_conversations": MAX_SYNC_CONVERSATIONS,
                "marked_conversations": MAX_MARKED,
                "followed_conversations": self.conversations or None,
                "invites": MAX_INVITES,
                "files": MAX_FILES if self.file_bytes else 0,
                "file_bytes": self.file_bytes,
                "device_name_characters": MAX_DEVICE_NAME,
                "rates": {
                    name: [{"count": rate.count, "seconds": rate.period_s} for rate in limit]
                    for name, limit in rates.items()
                },
            },
            "features": sorted(self.features),
        }


def installed_version() -> str:
    """The version of this server."""
    try:
        return version(PRODUCT)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"


_VERSION = installed_version()

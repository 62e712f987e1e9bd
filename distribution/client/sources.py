"""Build hook: takes the SDK, and the part of the protocol that it shares with the server, from the clone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = (
    "sio_clients",
    "sio_server/__init__.py",
    "sio_server/py.typed",
    "sio_server/protocol",
    "sio_server/tasks.py",
)


class SourcesHook(BuildHookInterface[Any]):
    """An sdist holds the sources at its top; in the clone they lie two folders above."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the sources; an editable install uses those of the clone."""
        if version == "editable":
            return
        here = Path(self.root)
        top = here if (here / "sio_clients").is_dir() else here.parents[1]
        for name in SOURCES:
            if not (top / name).exists():
                self.app.abort(f"{top / name} is missing: build roomgraph-client in a clone, or from its sdist")
            build_data["force_include"][str(top / name)] = name

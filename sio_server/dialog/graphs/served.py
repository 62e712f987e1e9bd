"""A graph that is served, with what it takes and how people read its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langgraph.pregel import Pregel

from sio_server.dialog.graphs.adapters import Adapter
from sio_server.dialog.graphs.contexts import ContextSchema

Graph = Pregel[Any, Any, Any, Any]


@dataclass(frozen=True)
class Served:
    """A graph that is served. `adapter` None: it takes messages. `context` None: it has no context."""

    graph: Graph
    adapter: Adapter | None = None
    context: ContextSchema | None = None
    title: str = ""  # its name in words, where it is not made from the id

"""Whose words a message is: the main agent's, a sub-agent's, a tool's, or those of one of several branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.graph.state import CompiledStateGraph

from sio_server.protocol.names import clean_name
from sio_server.protocol.run import agent_name

MAX_NAME = 80  # characters

# LangGraph's names of what stands in the metadata of every call within a node.
_NODE, _NAMESPACE, _PATH = "langgraph_node", "langgraph_checkpoint_ns", "langgraph_path"
_SENT = "__pregel_push"  # the path of a task that was sent, rather than reached by an edge
_AGENT = "lc_agent_name"  # of `create_agent`; graphs within that agent inherit it


class Speakers:
    """Names the speakers of one graph."""

    def __init__(self, graph: Any, graph_name: str, main: str) -> None:
        """`main`: what people know the graph's main agent by."""
        self._main = main
        metadata = (graph.config or {}).get("metadata") or {}
        self._main_names = {graph_name, graph.name, metadata.get(_AGENT)}
        self._branches = _branches(graph)

    def of_message(self, message: BaseMessage, otherwise: str = "") -> str:
        """Who speaks in a message: by its name, or `otherwise`, or the main agent."""
        return self._named(message.name) or otherwise or self._main

    def of_call(self, metadata: Mapping[str, Any], tool: str = "") -> str:
        """Who speaks in a call of a model, or in what a node returns; `tool`: the innermost tool around it."""
        agent = metadata.get(_AGENT)
        if agent and agent not in self._main_names:
            return self._named(agent) or self._main
        if tool:
            return _words(tool)
        path: Any = metadata.get(_PATH) or ()
        around = str(metadata.get(_NAMESPACE) or "").split("|")[:-1]
        while len(path) == 4 and path[0] == _SENT and path[-1] is True:  # a @task, called by the one around it
            path, around = path[1], around[:-1]
        if around:
            return _words(around[-1].split(":")[0]) or self._main
        node = str(metadata.get(_NODE) or "")
        if node in self._branches or (path and path[0] == _SENT):
            return _words(node) or self._main
        return self._main

    def _named(self, name: Any) -> str:
        if not isinstance(name, str) or not name:
            return ""
        return self._main if name in self._main_names else _words(name)


def _branches(graph: Any) -> frozenset[str]:
    """Nodes that one edge among several leads to: they run at the same time as others."""
    if not isinstance(graph, CompiledStateGraph):
        return frozenset()
    leaving = Counter(source for source, _ in graph.builder.edges)
    return frozenset(target for source, target in graph.builder.edges if leaving[source] > 1)


def _words(name: str) -> str:
    return clean_name(agent_name(name))[:MAX_NAME]

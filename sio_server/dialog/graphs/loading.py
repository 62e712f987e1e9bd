"""The graphs that a node serves: those of the project, one of the user's own, and all of a langgraph.json."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore

from sio_server.dialog.graphs import assistant, concierge, echo
from sio_server.dialog.graphs.adapters import adapter_for, forgets
from sio_server.dialog.graphs.contexts import ContextSchema
from sio_server.dialog.graphs.factories import LateStore, make_graph
from sio_server.dialog.graphs.importing import find
from sio_server.dialog.graphs.places import (
    NAME,
    Project,
    Spec,
    embedding_spec,
    read_project,
    read_setting,
)
from sio_server.dialog.graphs.problems import MAY_STAND_THERE, BadGraph, kind_of, one_line, remedy
from sio_server.dialog.graphs.served import Graph, Served

log = logging.getLogger(__name__)

ContextCheck = Callable[[dict[str, Any] | None], None]

CONCIERGE, ECHO, ASSISTANT = "concierge", "echo", "assistant"


@dataclass
class Graphs:
    """The graphs by id. What a factory opened for its graph stays open until `close`."""

    default: str
    served: Mapping[str, Served]
    store_config: dict[str, Any] = field(default_factory=dict)  # `index` and `ttl` of a langgraph.json's store
    left_out: list[str] = field(default_factory=list)  # one line for each graph that cannot be served
    _opened: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _store: LateStore = field(default_factory=LateStore)

    @property
    def names(self) -> list[str]:
        """The ids, the default's first."""
        return sorted(self.served, key=lambda name: name != self.default)

    @property
    def titles(self) -> dict[str, str]:
        """The names in words of those graphs whose name is not made from the id."""
        return {name: item.title for name, item in self.served.items() if item.title}

    @property
    def context_checks(self) -> dict[str, ContextCheck]:
        """By the ids of the graphs that have a context: raises Refused for one that does not fit."""
        return {name: item.context.check for name, item in self.served.items() if item.context}

    def compile(self, checkpointer: BaseCheckpointSaver[Any], store: BaseStore | None = None) -> dict[str, Graph]:
        """Each graph with this checkpointer and store, whatever it was compiled with.

        The graphs that were loaded stay as they are.
        """
        if store is not None:
            self._store.store = store
        return {name: _compiled(item.graph, checkpointer, store) for name, item in self.served.items()}

    async def close(self) -> None:
        """Close what factories opened, in the task that called `load_graphs`; never raises for their mistakes."""
        try:
            await self._opened.aclose()
        except Exception:
            log.exception("what a graph had opened could not be closed")


def _compiled(graph: Graph, checkpointer: BaseCheckpointSaver[Any], store: BaseStore | None) -> Graph:
    # Not Pregel.copy: it goes through the constructor, which a subclass may have changed, and which forgets
    # what `compile` set afterwards. A shallow copy keeps the class, its interrupts, name, store and config.
    compiled = copy.copy(graph)
    compiled.checkpointer = checkpointer
    if store is not None:
        compiled.store = store
    return compiled


async def load_graphs(
    *,
    graph: str,
    langgraph_json: str,
    model: str,
    model_timeout: float,
    word_delay: float,
    model_titles: bool = False,
    graph_input: str = "",
    graph_output: str = "",
) -> Graphs:
    """Load what the settings name. What cannot be served is left out, and logged in one line each.

    The default is what `graph` names. With a `langgraph_json` it is the first of its graphs that can be served,
    unless `graph` names another; naming the concierge, which is the setting's own default, names none. Raises
    BadGraph when the default cannot be served, or none of the `langgraph_json`.
    """
    project = read_project(langgraph_json) if langgraph_json else Project()
    default = _default(graph, project, graph_input, graph_output)
    built_in: dict[str, Callable[[], StateGraph[Any]]] = {
        CONCIERGE: lambda: concierge.builder(word_delay),
        ECHO: lambda: echo.builder(word_delay),
    }
    if model or default == ASSISTANT:
        built_in[ASSISTANT] = lambda: _assistant(model, model_timeout, model_titles)
    names = [*project.specs, *(name for name in built_in if name not in project.specs)]
    problems = dict(project.problems)
    if default and default not in names and default not in problems:
        raise BadGraph(
            f"GRAPH={graph}: there is no graph of this name. Write one of {', '.join(names)}, or "
            f"package.module:attribute for a graph of your own"
        )

    for note in project.notes:
        log.warning("%s", note)
    store = LateStore()
    async with contextlib.AsyncExitStack() as opened:
        served: dict[str, Served] = {}
        for name in names:
            try:
                if name in project.specs:
                    served[name] = await _load(project.specs[name], opened, store)
                else:
                    served[name] = Served(built_in[name]().compile(name=name))
            except BadGraph as exc:
                problems[name] = str(exc)
        if default in problems:
            raise BadGraph(problems[default])
        in_file = [name for name in project.order if name in served or name in problems]
        if not default:
            default = next((name for name in in_file if name in served), "")
            if not default:
                raise BadGraph(problems[in_file[0]])
            if in_file[0] in problems:
                log.warning(
                    "%s: %s is the default graph, since %s cannot be served", project.where, default, in_file[0]
                )
        for problem in problems.values():
            log.warning("%s (this graph is not served)", problem)
        return Graphs(
            default,
            served,
            _store_config(project),
            list(problems.values()),
            opened.pop_all(),
            store,
        )


def _default(graph: str, project: Project, graph_input: str, graph_output: str) -> str:
    """The id of the graph that GRAPH names, which becomes one of the project; '' for the project's first."""
    default = graph or CONCIERGE
    if (named := project.id_of(default)) != "":
        default = named
    elif default == CONCIERGE and (project.specs or project.problems):
        return ""
    elif ":" in default or not NAME.fullmatch(default):
        default, spec = read_setting(graph, graph_input, graph_output)
        if default in project.specs:
            raise BadGraph(
                f"{spec.where}: {project.where.partition('=')[2]} has another graph named {default}. "
                "Rename one of the two"
            )
        project.specs[default] = spec
        return default
    if graph_input or graph_output:
        raise BadGraph(
            "GRAPH_INPUT and GRAPH_OUTPUT: they are for GRAPH=package.module:attribute. For a graph of a "
            'langgraph.json write "input" and "output" beside its "path"'
        )
    return default


def _store_config(project: Project) -> dict[str, Any]:
    """What the project says of the store; an embedding function of its own is found already."""
    spec = embedding_spec(project)
    if spec is None:
        return project.store
    try:
        return {**project.store, "index": {**project.store["index"], "embed": find(spec)}}
    except BadGraph as exc:
        log.warning("%s (the store has no index)", exc)
        return {key: value for key, value in project.store.items() if key != "index"}


def _assistant(model: str, model_timeout: float, titles: bool) -> StateGraph[Any]:
    if not model:
        raise BadGraph(
            "GRAPH=assistant: it needs a chat model. Set MODEL as well, such as MODEL=openai:gpt-4o-mini or "
            "MODEL=ollama:llama3.2"
        )
    try:
        return assistant.builder(assistant.chat_model(model), model_timeout, titles=titles)
    except assistant.NoModel as exc:
        raise BadGraph(f"MODEL={model}: {exc}") from exc
    except NotImplementedError:
        raise BadGraph(f"MODEL={model}: this model cannot call tools. Write one that can") from None


async def _load(spec: Spec, opened: contextlib.AsyncExitStack, store: BaseStore) -> Served:
    """A graph of the user's own. Raises BadGraph, with nothing left open."""
    async with contextlib.AsyncExitStack() as own:
        try:
            served = _checked(await make_graph(find(spec), spec.where, own, store), spec)
        except BadGraph:
            try:
                await own.aclose()
            except Exception:
                log.exception("what a graph had opened could not be closed")
            raise
        await opened.enter_async_context(own.pop_all())
    return served


def _checked(found: Any, spec: Spec) -> Served:
    """The graph, compiled, if it can be served."""
    where = spec.where
    if isinstance(found, StateGraph):
        try:
            found = found.compile()
        except Exception as exc:
            raise BadGraph(f"{where}: it cannot be compiled: {one_line(exc)}. {remedy(None)}") from exc
    if not isinstance(found, Pregel):
        raise BadGraph(f"{where}: it is not a graph but {kind_of(found)}. {MAY_STAND_THERE}")
    adapter = adapter_for(found, spec)
    if forgets(found):
        log.warning(
            "%s: its messages have no reducer, so each turn forgets those before. Give it messages: "
            "Annotated[list[AnyMessage], add_messages]",
            where,
        )
    return Served(found, adapter, _context_schema(found, where), spec.title)


def _context_schema(graph: Graph, where: str) -> ContextSchema | None:
    if graph.context_schema is None:
        return None
    try:
        return ContextSchema(graph.context_schema)
    except TypeError as exc:
        log.warning("%s: its context_schema cannot be used, so it gets no context: %s", where, one_line(exc))
        return None

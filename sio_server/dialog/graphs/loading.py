"""The graphs that a node serves: those of the project, one of the user's own, and all of a langgraph.json."""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from langgraph.channels.last_value import LastValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph, StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore

from sio_server.dialog.graphs import assistant, concierge, echo
from sio_server.dialog.graphs.places import A_PLACE, DOTTED, NAME, Spec, read_project, read_setting
from sio_server.dialog.graphs.problems import BadGraph, kind_of, one_line, remedy, short, told

log = logging.getLogger(__name__)

Graph = Pregel[Any, Any, Any, Any]

CONCIERGE, ECHO, ASSISTANT = "concierge", "echo", "assistant"
MAY_STAND_THERE = "Name a StateGraph, a compiled graph, or a function that makes one"


class Graphs:
    """The graphs by name. What a factory opened for its graph stays open until `close`."""

    def __init__(self, default: str, graphs: Mapping[str, Graph], opened: contextlib.AsyncExitStack) -> None:
        self.default = default
        self._graphs = dict(graphs)
        self._opened = opened

    @property
    def names(self) -> list[str]:
        """The names, the default's first."""
        return sorted(self._graphs, key=lambda name: name != self.default)

    def compile(self, checkpointer: BaseCheckpointSaver[Any], store: BaseStore | None = None) -> dict[str, Graph]:
        """Each graph with these, whatever it was compiled with; the graphs loaded stay as they are."""
        return {name: _with_savers(graph, checkpointer, store) for name, graph in self._graphs.items()}

    async def close(self) -> None:
        """Close what factories opened, in the task that called `load_graphs`; never raises for their mistakes."""
        try:
            await self._opened.aclose()
        except Exception:
            log.exception("what a graph had opened could not be closed")


def _with_savers(graph: Graph, checkpointer: BaseCheckpointSaver[Any], store: BaseStore | None) -> Graph:
    # Not Pregel.copy: it goes through the constructor, which a subclass may have changed, and which forgets
    # what `compile` set afterwards. A shallow copy keeps the class, its interrupts, name, store and config.
    served = copy.copy(graph)
    served.checkpointer = checkpointer
    if store is not None:
        served.store = store
    return served


async def load_graphs(
    *, graph: str, langgraph_json: str, model: str, model_timeout: float, word_delay: float
) -> Graphs:
    """Load what the settings name. Raises BadGraph for the first graph that cannot be served.

    The default is what `graph` names. With a `langgraph_json`, whose graphs are all served, it is the first of
    these, unless `graph` names another; naming the concierge, which is the setting's own default, names none.
    """
    specs = read_project(langgraph_json) if langgraph_json else {}
    default = graph or CONCIERGE
    if specs and default == CONCIERGE and CONCIERGE not in specs:
        default = next(iter(specs))
    elif default not in specs and (":" in default or not NAME.fullmatch(default)):
        default, spec = read_setting(graph)
        if default in specs:
            raise BadGraph(
                f"{spec.where}: {langgraph_json} has another graph named {default}. Rename one of the two"
            )
        specs[default] = spec

    built_in: dict[str, Callable[[], StateGraph[Any]]] = {
        CONCIERGE: lambda: concierge.builder(word_delay),
        ECHO: lambda: echo.builder(word_delay),
    }
    if model or default == ASSISTANT:
        built_in[ASSISTANT] = lambda: _assistant(model, model_timeout)
    names = [*specs, *(name for name in built_in if name not in specs)]
    if default not in names:
        raise BadGraph(
            f"GRAPH={graph}: there is no graph of this name. Write one of {', '.join(names)}, or "
            f"package.module:attribute for a graph of your own"
        )

    async with contextlib.AsyncExitStack() as opened:
        loaded: dict[str, Graph] = {}
        for name in names:
            if name in specs:
                made = await _made(_find(specs[name]), specs[name].where, opened)
                loaded[name] = _checked(made, specs[name].where)
            else:
                loaded[name] = built_in[name]().compile(name=name)
        return Graphs(default, loaded, opened.pop_all())


def _assistant(model: str, model_timeout: float) -> StateGraph[Any]:
    if not model:
        raise BadGraph(
            "GRAPH=assistant: it needs a chat model. Set MODEL as well, such as MODEL=openai:gpt-4o-mini or "
            "MODEL=ollama:llama3.2"
        )
    try:
        return assistant.builder(assistant.chat_model(model), model_timeout)
    except assistant.NoModel as exc:
        raise BadGraph(f"MODEL={model}: {exc}") from exc
    except NotImplementedError:
        raise BadGraph(f"MODEL={model}: this model cannot call tools. Write one that can") from None


def _find(spec: Spec) -> Any:
    """What the attribute holds."""
    importlib.invalidate_caches()
    try:
        if isinstance(spec.target, Path):
            module = _import_file(spec.target, spec.roots)
        else:
            module = importlib.import_module(spec.target)
    except (Exception, SystemExit) as exc:
        missing = getattr(exc, "name", None) if isinstance(exc, ModuleNotFoundError) else None
        if isinstance(spec.target, str) and missing and f"{spec.target}.".startswith(f"{missing}."):
            raise BadGraph(
                f"{spec.where}: there is no module {missing}. Write {A_PLACE}, and start from the "
                f"folder that holds it (this is {Path.cwd()})"
            ) from None
        if isinstance(exc, FileNotFoundError) and exc.filename == str(spec.target):
            raise BadGraph(
                f"{spec.where}: there is no file {short(str(spec.target))}. Write one that is there"
            ) from None
        raise BadGraph(f"{spec.where}: it cannot be imported: {told(exc)}. {remedy(missing)}") from exc
    found: Any = module
    searched = str(spec.target)
    for part in spec.attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            graphs = [name for name, value in vars(module).items() if isinstance(value, (StateGraph, Pregel))]
            advice = f"Write one of its graphs: {', '.join(graphs)}" if graphs else MAY_STAND_THERE
            raise BadGraph(f"{spec.where}: there is no {part} in {short(searched)}. {advice}") from None
        searched += f".{part}"
    return found


def _import_file(file: Path, roots: tuple[Path, ...]) -> ModuleType:
    """Import a file as the module that the project's own imports know it by, or else as one by itself."""
    if not file.is_file():
        raise FileNotFoundError(2, "no such file", str(file))
    name = _module_name(file, roots)
    if name:
        known = importlib.util.find_spec(name)
        if known and known.origin and Path(known.origin).resolve() == file:
            return importlib.import_module(name)
    name = f"roomgraph_graph_{crc32(str(file).encode()):08x}"
    alone = importlib.util.spec_from_file_location(name, file)
    if alone is None or alone.loader is None:
        raise ImportError("it is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(alone)
    try:
        alone.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_name(file: Path, roots: tuple[Path, ...]) -> str:
    """`my_agent.graph` for src/my_agent/graph.py; nothing when no import could find it."""
    for folder in file.parents:
        # A folder with an __init__.py is a package, which its modules know by its name.
        if folder in roots and not (folder / "__init__.py").exists():
            name = ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
            return name if DOTTED.fullmatch(name) else ""
    return ""


async def _made(found: Any, where: str, opened: contextlib.AsyncExitStack) -> Any:
    """The graph itself, or what the factory found instead of it makes."""
    if isinstance(found, (StateGraph, Pregel)) or not callable(found):
        return found
    try:
        made = found(*_arguments(found, where))
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, contextlib.AbstractAsyncContextManager):
            made = await opened.enter_async_context(made)
        elif isinstance(made, contextlib.AbstractContextManager):
            made = opened.enter_context(made)
    except BadGraph:
        raise
    except (Exception, SystemExit) as exc:
        raise BadGraph(f"{where}: the function raised {told(exc)}. {remedy(None)}") from exc
    return made


def _arguments(factory: Callable[..., Any], where: str) -> tuple[Any, ...]:
    """What to call a factory with: nothing, or a config."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # some classes in C have no signature
        return ()
    needed = [
        item
        for item in parameters
        if item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    ]
    advice = "Let it take nothing, or one RunnableConfig"
    if len(needed) > 1 or any(item.kind is item.KEYWORD_ONLY for item in needed):
        raise BadGraph(f"{where}: the function needs more than a config. {advice}")
    if needed and "ServerRuntime" in str(needed[0].annotation):
        raise BadGraph(f"{where}: the function takes a ServerRuntime, which LangGraph's own server has. {advice}")
    return ({"configurable": {}},) if needed else ()


def _checked(found: Any, where: str) -> Graph:
    """The graph, compiled, if it can be served."""
    if isinstance(found, StateGraph):
        try:
            found = found.compile()
        except Exception as exc:
            raise BadGraph(f"{where}: it cannot be compiled: {one_line(exc)}. {remedy(None)}") from exc
    if not isinstance(found, Pregel):
        raise BadGraph(f"{where}: it is not a graph but {kind_of(found)}. {MAY_STAND_THERE}")
    takes = found.channels
    if isinstance(found, CompiledStateGraph):
        takes = found.builder.schemas[found.builder.input_schema]
    if "messages" not in found.channels or "messages" not in takes:
        raise BadGraph(
            f"{where}: its {'input' if 'messages' in found.channels else 'state'} has no messages. Derive it from "
            "MessagesState, or give it messages: Annotated[list[AnyMessage], add_messages]"
        )
    if isinstance(found.channels["messages"], LastValue):
        raise BadGraph(
            f"{where}: its messages have no reducer, so each turn would forget those before. Give it messages: "
            "Annotated[list[AnyMessage], add_messages]"
        )
    return found

"""The graphs that a node serves: those of the project, one of the user's own, and all of a langgraph.json."""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import inspect
import json
import logging
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from zlib import crc32

from dotenv import dotenv_values
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph, StateGraph
from langgraph.pregel import Pregel

from sio_server.dialog.graphs import assistant, concierge, echo

log = logging.getLogger(__name__)

Graph = Pregel[Any, Any, Any, Any]

CONCIERGE, ECHO, ASSISTANT = "concierge", "echo", "assistant"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")  # as every id on the wire
DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
# Attributes that say nothing of what the graph is for: it goes by its module's name.
SAYS_NOTHING = {"graph", "builder", "app", "workflow", "make_graph"}

A_PLACE = "package.module:attribute, such as my_app.agents:support_agent"
MAY_STAND_THERE = "Name a StateGraph, a compiled graph, or a function that makes one"


class BadGraph(ValueError):
    """A graph that cannot be served; one line for people: the setting, what is wrong, and what to write."""


class Spec(NamedTuple):
    """Where a graph stands."""

    where: str  # the setting, as an error begins
    target: str | Path  # a module, or a file
    attribute: str
    roots: tuple[Path, ...] = ()  # folders that a file's module may be imported from


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

    def compile(self, checkpointer: BaseCheckpointSaver[Any]) -> dict[str, Graph]:
        """Each graph with this checkpointer, whatever it was compiled with; the graphs loaded stay as they are."""
        return {name: _with_checkpointer(graph, checkpointer) for name, graph in self._graphs.items()}

    async def close(self) -> None:
        """Close what factories opened, in the task that called `load_graphs`; never raises for their mistakes."""
        try:
            await self._opened.aclose()
        except Exception:
            log.exception("what a graph had opened could not be closed")


def _with_checkpointer(graph: Graph, checkpointer: BaseCheckpointSaver[Any]) -> Graph:
    # Not Pregel.copy: it goes through the constructor, which a subclass may have changed, and which forgets
    # what `compile` set afterwards. A shallow copy keeps the class, its interrupts, name, store and config.
    served = copy.copy(graph)
    served.checkpointer = checkpointer
    return served


async def load_graphs(
    *, graph: str, langgraph_json: str, model: str, model_timeout: float, word_delay: float
) -> Graphs:
    """Load what the settings name. Raises BadGraph for the first graph that cannot be served.

    The default is what `graph` names. With a `langgraph_json`, whose graphs are all served, it is the first of
    these, unless `graph` names another; naming the concierge, which is the setting's own default, names none.
    """
    specs = _read_project(langgraph_json) if langgraph_json else {}
    default = graph or CONCIERGE
    if specs and default == CONCIERGE and CONCIERGE not in specs:
        default = next(iter(specs))
    elif default not in specs and (":" in default or not NAME.fullmatch(default)):
        default, spec = _read_setting(graph)
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


# --- what the settings say


def _read_setting(graph: str) -> tuple[str, Spec]:
    """The name and the place of GRAPH=package.module:attribute."""
    where = f"GRAPH={graph}"
    module, _, attribute = graph.partition(":")
    if not DOTTED.fullmatch(module) or not DOTTED.fullmatch(attribute):
        if module.endswith(".py") or "/" in module:
            raise BadGraph(f"{where}: this is a file. Write its module, such as my_graph:graph for my_graph.py")
        raise BadGraph(f"{where}: this names no graph. For a graph of your own write {A_PLACE}")
    name = attribute.rpartition(".")[2]
    if name in SAYS_NOTHING:
        name = module.rpartition(".")[2]
    if not NAME.fullmatch(name):
        raise BadGraph(
            f"{where}: the graph cannot be called {name}. Name its attribute with up to 64 of A-Z, a-z, 0-9 and "
            "_, beginning with a letter"
        )
    _put_on_path(Path.cwd())
    return name, Spec(where, module, attribute)


def _read_project(path: str) -> dict[str, Spec]:
    """The graphs of a langgraph.json, by name; its folders are importable and its environment set afterwards."""
    where = f"LANGGRAPH_JSON={path}"
    file = Path(path).resolve()
    try:
        project = json.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise BadGraph(
            f"{where}: it cannot be read ({reason}). Write the path of a langgraph.json, such as ./langgraph.json"
        ) from None
    except ValueError as exc:
        raise BadGraph(f"{where}: it is not JSON: {_line(exc)}. Put that right in the file") from None
    graphs = project.get("graphs") if isinstance(project, dict) else None
    if not isinstance(graphs, dict) or not graphs:
        raise BadGraph(f'{where}: it has no graphs. Write "graphs": {{"agent": "./agent.py:graph"}} in it')
    _set_environment(project.get("env"), where, file.parent)
    roots = _put_dependencies_on_path(project.get("dependencies", []), where, file.parent)
    return {name: _read_entry(name, entry, where, file.parent, roots) for name, entry in graphs.items()}


def _read_entry(name: str, entry: Any, where: str, folder: Path, roots: tuple[Path, ...]) -> Spec:
    where = f"{where}, graph {name}"
    if not NAME.fullmatch(name):
        raise BadGraph(f"{where}: this cannot be its name. Write up to 64 of A-Z, a-z, 0-9 and ._:-")
    place = entry.get("path") if isinstance(entry, dict) else entry
    target, _, attribute = place.rpartition(":") if isinstance(place, str) else ("", "", "")
    if not target or not DOTTED.fullmatch(attribute):
        raise BadGraph(f"{where}: {place!r} names no graph. Write ./path/file.py:attribute or {A_PLACE}")
    if re.search(r"\.[cm]?[jt]sx?$", target):
        raise BadGraph(f"{where}: {target} is JavaScript. Only graphs in Python can be served; take it out")
    if target.endswith(".py") or "/" in target or "\\" in target:
        return Spec(f"{where} ({place})", (folder / target).resolve(), attribute, roots)
    if not DOTTED.fullmatch(target):
        raise BadGraph(f"{where}: {target} is no module. Write ./path/file.py:attribute or {A_PLACE}")
    return Spec(f"{where} ({place})", target, attribute, roots)


def _set_environment(env: Any, where: str, folder: Path) -> None:
    """Set the project's environment where it is not set already: whoever starts the node has the last word."""
    if isinstance(env, str):
        file = folder / env
        if not file.is_file():
            # Nothing unusual on a server, where such files stay behind and the environment is set otherwise.
            log.warning("%s: its env file %s is not there, going on without", where, file)
        values: Mapping[str, Any] = dotenv_values(file, encoding="utf-8")
    elif isinstance(env, dict) or env is None:
        values = env or {}
    else:
        raise BadGraph(f'{where}: its env is wrong. Write "env": ".env" or "env": {{"NAME": "value"}}')
    for name, value in values.items():
        if value is not None:
            os.environ.setdefault(name, str(value))


def _put_dependencies_on_path(dependencies: Any, where: str, folder: Path) -> tuple[Path, ...]:
    """Make the project's folders importable, also their `src`; packages from an index are to be installed."""
    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        raise BadGraph(f'{where}: its dependencies are wrong. Write a list, such as "dependencies": ["."]')
    roots = [folder]
    for item in dependencies:
        if not item.startswith(".") and not (folder / item).is_dir():
            continue
        root = (folder / item).resolve()
        if not root.is_dir():
            raise BadGraph(f"{where}: its dependency {item} is no folder. Write a folder relative to {folder}")
        roots += [root, *(source for source in [root / "src"] if source.is_dir())]
    for root in roots:
        _put_on_path(root)
    return tuple(roots)


def _put_on_path(folder: Path) -> None:
    """First, as `python -m` does: a user's own module goes before an installed one of the same name."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


# --- from a place to what stands there


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
                f"{spec.where}: there is no file {_short(str(spec.target))}. Write one that is there"
            ) from None
        raise BadGraph(f"{spec.where}: it cannot be imported: {_told(exc)}. {_remedy(missing)}") from exc
    found: Any = module
    searched = str(spec.target)
    for part in spec.attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            graphs = [name for name, value in vars(module).items() if isinstance(value, (StateGraph, Pregel))]
            advice = f"Write one of its graphs: {', '.join(graphs)}" if graphs else MAY_STAND_THERE
            raise BadGraph(f"{spec.where}: there is no {part} in {_short(searched)}. {advice}") from None
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
        raise BadGraph(f"{where}: the function raised {_told(exc)}. {_remedy(None)}") from exc
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
            raise BadGraph(f"{where}: it cannot be compiled: {_line(exc)}. {_remedy(None)}") from exc
    if not isinstance(found, Pregel):
        raise BadGraph(f"{where}: it is not a graph but {_kind(found)}. {MAY_STAND_THERE}")
    takes = found.channels
    if isinstance(found, CompiledStateGraph):
        takes = found.builder.schemas[found.builder.input_schema]
    if "messages" not in found.channels or "messages" not in takes:
        raise BadGraph(
            f"{where}: its {'input' if 'messages' in found.channels else 'state'} has no messages. Derive it from "
            "MessagesState, or give it messages: Annotated[list[AnyMessage], add_messages]"
        )
    for graph in (found, *(inner for _, inner in found.get_subgraphs(recurse=True))):
        for key, channel in getattr(graph, "channels", {}).items():
            if isinstance(channel, DeltaChannel):
                # Each attempt begins with a copy of the last checkpoint, and this one lies in those before it.
                raise BadGraph(
                    f"{where}: its {key} is a DeltaChannel, which cannot be served. Give it a reducer such as "
                    "add_messages"
                )
    return found


# --- in words


def _told(exc: BaseException) -> str:
    """An exception in one line, with the place in the user's code that it came from."""
    place = _place(exc)
    return f"{type(exc).__name__}: {_line(exc)}" + (f" ({place})" if place else "")


def _line(exc: BaseException) -> str:
    text = exc.msg if isinstance(exc, (SyntaxError, json.JSONDecodeError)) else str(exc)
    if isinstance(exc, json.JSONDecodeError):
        text += f" in line {exc.lineno}"
    return (" ".join(text.split())[:300] or "no reason given").rstrip(".")


def _place(exc: BaseException) -> str:
    """`file:line`, in the user's code if any of it was on the way, and not inside the library it called."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{_short(exc.filename)}:{exc.lineno}"
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if not _is_machinery(frame.filename)]
    own = [frame for frame in frames if not _is_library(frame.filename)]
    for frame in reversed(own or frames):
        return f"{_short(frame.filename)}:{frame.lineno}"
    return ""


def _is_machinery(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<") or filename == importlib.__file__


def _is_library(filename: str) -> bool:
    parts = Path(filename).parts
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return "site-packages" in parts or "dist-packages" in parts or any(filename.startswith(s) for s in standard)


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename


def _remedy(missing: str | None) -> str:
    return f"Install what has the module {missing}" if missing else "Put that right in your code"


def _kind(found: Any) -> str:
    if inspect.ismodule(found):
        return "a module"
    return "None" if found is None else f"of type {type(found).__name__}"

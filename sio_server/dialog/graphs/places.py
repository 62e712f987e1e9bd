"""Where the graphs stand: what GRAPH and a langgraph.json say."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dotenv import dotenv_values

from sio_server.dialog.graphs.problems import BadGraph, one_line

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")  # as every id on the wire
DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
# Attributes that say nothing of what the graph is for: it goes by its module's name.
SAYS_NOTHING = {"graph", "builder", "app", "workflow", "make_graph"}

A_PLACE = "package.module:attribute, such as my_app.agents:support_agent"


class Spec(NamedTuple):
    """Where a graph stands."""

    where: str  # the setting, as an error begins
    target: str | Path  # a module, or a file
    attribute: str
    roots: tuple[Path, ...] = ()  # folders that a file's module may be imported from


def read_setting(graph: str) -> tuple[str, Spec]:
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


def read_project(path: str) -> dict[str, Spec]:
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
        raise BadGraph(f"{where}: it is not JSON: {one_line(exc)}. Put that right in the file") from None
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

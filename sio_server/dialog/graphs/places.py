"""Where the graphs stand: what GRAPH and a langgraph.json say."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from dotenv import dotenv_values

from sio_server.dialog.graphs.problems import BadGraph, one_line

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")  # as every id on the wire
DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
# Attributes that say nothing of what the graph is for: it goes by its module's name.
SAYS_NOTHING = {"graph", "builder", "app", "workflow", "make_graph"}

A_PLACE = "package.module:attribute, such as my_app.agents:support_agent"

# Keys of a langgraph.json that LangGraph's own server uses and a node does not, and what a node has instead.
NOT_USED = {
    "auth": "tokens or AUTHENTICATE say which user connects (docs/identity.md), CLAIMS which claims graphs get",
    "checkpointer": "CHECKPOINTER and CHECKPOINTS_KEPT say how the graphs' state is kept",
    "encryption": "what is kept is as Redis keeps it; encrypt its disk",
    "http": "a node serves no routes or middleware of yours; serve them beside it",
    "ui": "clients show reports and messages; components are not sent",
    "webhooks": "nothing is called when a run ends; a client that is a member sees it",
}
READ = {"$schema", "graphs", "dependencies", "env", "store", "python_version"}


@dataclass(frozen=True)
class Spec:
    """Where a graph stands, and what was written about it."""

    where: str  # the setting, as an error begins
    target: str | Path  # a module, or a file
    attribute: str
    roots: tuple[Path, ...] = ()  # folders that a file's module may be imported from
    title: str = ""  # the name in words for people, where it is not made from the id
    input: str = ""  # of its adapter, as written; '' for none
    output: str = ""
    entry: tuple[str, str] | None = None  # name and place in a langgraph.json; None: it is that of GRAPH

    def adapter_line(self, input_key: str, output_key: str) -> str:
        """What to write for an adapter of this graph."""
        if self.entry is None:
            return f"GRAPH_INPUT={input_key} and GRAPH_OUTPUT={output_key}"
        name, place = self.entry
        adapter = {"path": place, "input": input_key, "output": output_key}
        return f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(adapter, ensure_ascii=False)}"


@dataclass
class Project:
    """What a langgraph.json says. `problems` are lines about graphs that cannot be served, by their ids."""

    where: str = ""
    folder: Path = field(default_factory=Path)
    specs: dict[str, Spec] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what people are told of the rest, one line each
    store: dict[str, Any] = field(default_factory=dict)  # `index` and `ttl`
    roots: tuple[Path, ...] = ()
    order: list[str] = field(default_factory=list)  # the ids of its graphs, those with problems too

    def id_of(self, name: str) -> str:
        """The id of the graph with this id or name; '' if there is none."""
        if name in self.specs or name in self.problems:
            return name
        return next((its_id for its_id, spec in self.specs.items() if spec.title == name), "")


def read_setting(graph: str, input_key: str = "", output_key: str = "") -> tuple[str, Spec]:
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
    return name, Spec(where, module, attribute, input=input_key, output=output_key)


def read_project(path: str) -> Project:
    """What a langgraph.json says; its folders are importable and its environment set afterwards.

    Raises BadGraph for a file of which nothing can be served.
    """
    where = f"LANGGRAPH_JSON={path}"
    file = Path(path).resolve()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise BadGraph(
            f"{where}: it cannot be read ({reason}). Write the path of a langgraph.json, such as ./langgraph.json"
        ) from None
    except ValueError as exc:
        raise BadGraph(f"{where}: it is not JSON: {one_line(exc)}. Put that right in the file") from None
    graphs = content.get("graphs") if isinstance(content, dict) else None
    if not isinstance(graphs, dict) or not graphs:
        raise BadGraph(f'{where}: it has no graphs. Write "graphs": {{"agent": "./agent.py:graph"}} in it')
    project = Project(where, file.parent)
    _set_environment(content.get("env"), project)
    _put_dependencies_on_path(content.get("dependencies", []), project)
    _read_store(content.get("store"), project)
    project.notes += _not_used(content, where)
    for name, entry in _exact_names_first(graphs):
        graph_id = id_for(name)
        try:
            if graph_id in project.specs or graph_id in project.problems:
                raise BadGraph(
                    f"{where}, graph {name}: its id {graph_id} is that of another graph. Rename one of the two"
                )
            project.specs[graph_id] = _read_entry(name, entry, project)
        except BadGraph as exc:
            # Of two graphs with one id the second has none of its own.
            taken = graph_id in project.specs or graph_id in project.problems
            project.problems[f"{graph_id} ({name})" if taken else graph_id] = str(exc)
    project.order = list(dict.fromkeys(id_for(name) for name in graphs))
    project.specs = {name: project.specs[name] for name in project.order if name in project.specs}
    return project


def _exact_names_first(graphs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    # A graph whose name is an id keeps it, wherever it stands in the file.
    return sorted(graphs.items(), key=lambda item: id_for(item[0]) != item[0])


def id_for(name: str) -> str:
    """The id of a graph of this name: `My Agent` is My-Agent. The same on every node."""
    if NAME.fullmatch(name):
        return name
    made = re.sub(r"[^A-Za-z0-9._:-]+", "-", name).strip("._:-")[:64]
    return made or f"graph-{crc32(name.encode(errors='replace')):08x}"


def _read_entry(name: str, entry: Any, project: Project) -> Spec:
    where = f"{project.where}, graph {name}"
    written = entry if isinstance(entry, dict) else {"path": entry}
    place = written.get("path")
    target, _, attribute = place.rpartition(":") if isinstance(place, str) else ("", "", "")
    if not target or not DOTTED.fullmatch(attribute):
        raise BadGraph(f"{where}: {place!r} names no graph. Write ./path/file.py:attribute or {A_PLACE}")
    if re.search(r"\.[cm]?[jt]sx?$", target):
        raise BadGraph(f"{where}: {target} is JavaScript. Only graphs in Python can be served; take it out")
    keys = {key: written.get(key, "") for key in ("input", "output")}
    for key, value in keys.items():
        if not isinstance(value, str):
            raise BadGraph(f'{where}: its {key} is not a text. Write the name of a key of its state, or "."')
    more: dict[str, Any] = {**keys, "roots": project.roots, "entry": (name, place)}
    if id_for(name) != name:
        more["title"] = " ".join(name.split())
    where += f" ({place})"
    if target.endswith(".py") or "/" in target or "\\" in target:
        return Spec(where, (project.folder / target).resolve(), attribute, **more)
    if not DOTTED.fullmatch(target):
        raise BadGraph(f"{where}: {target} is no module. Write ./path/file.py:attribute or {A_PLACE}")
    return Spec(where, target, attribute, **more)


def embedding_spec(project: Project) -> Spec | None:
    """Where the store's own embedding function stands; None when an embedding model is named, or nothing."""
    embed = project.store.get("index", {}).get("embed")
    target, _, attribute = embed.rpartition(":") if isinstance(embed, str) else ("", "", "")
    if not target.endswith(".py") or not DOTTED.fullmatch(attribute):
        return None
    where = f"{project.where}, store ({embed})"
    return Spec(where, (project.folder / target).resolve(), attribute, project.roots)


def _read_store(store: Any, project: Project) -> None:
    if store is None:
        return
    advice = 'Write "store": {"index": {"dims": 1536, "embed": "openai:text-embedding-3-small"}}'
    if not isinstance(store, dict):
        project.notes.append(f"{project.where}: its store is wrong and not used. {advice}")
        return
    for key in ("index", "ttl"):
        if isinstance(store.get(key), dict):
            project.store[key] = store[key]
        elif key in store:
            project.notes.append(f"{project.where}: the {key} of its store is no object and not used. {advice}")


def _not_used(content: Mapping[str, Any], where: str) -> list[str]:
    """One line for each key that a node has something else for, and one for the rest."""
    lines = [f"{where}: {key} is not used: {instead}" for key, instead in NOT_USED.items() if content.get(key)]
    asked, here = content.get("python_version"), platform.python_version()
    if isinstance(asked, str) and not f"{here}.".startswith(f"{asked}."):
        lines.append(f"{where}: python_version is {asked}, and this node runs on Python {here}")
    rest = sorted(key for key, value in content.items() if value and key not in READ and key not in NOT_USED)
    if rest:
        lines.append(f"{where}: not used here: {', '.join(rest)}")
    return lines


def _set_environment(env: Any, project: Project) -> None:
    """Set the project's environment where it is not set already: whoever starts the node has the last word."""
    if isinstance(env, str):
        file = project.folder / env
        if not file.is_file():
            # Nothing unusual on a server, where such files stay behind and the environment is set otherwise.
            project.notes.append(f"{project.where}: its env file {file} is not there, going on without")
        values: Mapping[str, Any] = dotenv_values(file, encoding="utf-8")
    elif isinstance(env, dict) or env is None:
        values = env or {}
    else:
        raise BadGraph(f'{project.where}: its env is wrong. Write "env": ".env" or "env": {{"NAME": "value"}}')
    for name, value in values.items():
        if value is not None:
            os.environ.setdefault(name, str(value))


def _put_dependencies_on_path(dependencies: Any, project: Project) -> None:
    """Make the project's folders importable, also their `src`; packages from an index are to be installed."""
    where, folder = project.where, project.folder
    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        raise BadGraph(f'{where}: its dependencies are wrong. Write a list, such as "dependencies": ["."]')
    roots = [folder]
    for item in dependencies:
        root = (folder / item).resolve()
        if root.is_dir():
            roots += [root, *(source for source in [root / "src"] if source.is_dir())]
        elif item.startswith("."):
            project.notes.append(
                f"{where}: its dependency {item} is no folder. Write a folder relative to {folder}"
            )
        elif not _is_installed(item):
            project.notes.append(f"{where}: its dependency {item} is not installed. Run pip install '{item}'")
    for root in roots:
        _put_on_path(root)
    project.roots = tuple(roots)


def _is_installed(requirement: str) -> bool:
    """Whether the distribution of a requirement is there; a URL is not looked at."""
    name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    if name is None or "://" in requirement.partition("@")[0]:
        return True
    try:
        importlib.metadata.version(name.group())
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _put_on_path(folder: Path) -> None:
    """First, as `python -m` does: a user's own module goes before an installed one of the same name."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

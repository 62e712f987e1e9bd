"""What stands at the place that was named: the attribute of a module, or of a file."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from langgraph.graph.state import StateGraph
from langgraph.pregel import Pregel

from sio_server.dialog.graphs.places import A_PLACE, DOTTED, Spec
from sio_server.dialog.graphs.problems import MAY_STAND_THERE, BadGraph, remedy, short, told


def find(spec: Spec) -> Any:
    """What the attribute holds. Raises BadGraph, whatever the module raises."""
    importlib.invalidate_caches()
    try:
        if isinstance(spec.target, Path):
            module = _import_file(spec.target, spec.roots)
        else:
            module = importlib.import_module(spec.target)
    except asyncio.CancelledError:
        raise
    except BaseException as exc:  # modules also raise SystemExit, and some libraries errors of their own base
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

"""The layers: dependencies point downward only, and gateway and dialog meet only in the conversation log."""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("roomgraph", "sio_server", "sio_clients")

# Leaves that know nothing of the project; every part of the server may use them.
LEAVES = {
    f"sio_server.{name}"
    for name in ("protocol", "language", "log_lines", "logs", "open_files", "redis_url", "tasks", "worker_board")
}
SETTINGS = {"sio_server.settings"}  # of the leaves it knows the forms of REDIS_URL
STORE = {"sio_server.protocol", "sio_server.tasks", "sio_server.redis_url", "sio_server.store"}
RECORDS = STORE | {"sio_server.trace", "sio_server.conversation", "sio_server.users"}
FILES = RECORDS | {"sio_server.files"}
GATEWAY = FILES | {"sio_server.gateway.metrics", "sio_server.gateway.transport"}

# What each part may import of this project, besides itself.
ALLOWED: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "sio_server.logs": {"sio_server.log_lines"},
    "sio_server.settings": {"sio_server.redis_url", "sio_server.protocol"},
    "sio_server.store": STORE,
    "sio_server.trace": STORE,
    "sio_server.conversation": STORE | {"sio_server.trace"},
    "sio_server.users": STORE | {"sio_server.trace", "sio_server.conversation"},
    "sio_server.gateway.metrics": set(),
    "sio_server.gateway.transport": {"sio_server.protocol", "sio_server.tasks", "sio_server.gateway.metrics"},
    "sio_server.gateway.fanout": GATEWAY,
    "sio_server.gateway.sessions": GATEWAY | {"sio_server.gateway.fanout"},
    "sio_server.gateway.requests": GATEWAY | {"sio_server.gateway.fanout", "sio_server.gateway.sessions"},
    "sio_server.gateway.http": GATEWAY | {"sio_server.gateway.sessions"},
    "sio_server.gateway.api": GATEWAY
    | {"sio_server.data"}
    | {f"sio_server.gateway.{name}" for name in ("fanout", "sessions", "requests", "http")},
    "sio_server.dialog": RECORDS | {"sio_server.log_lines"},
    "sio_server.cluster": RECORDS,
    "sio_server.files": RECORDS,
    "sio_server.data": FILES,
    "sio_server.workers": LEAVES | SETTINGS,
    # A cluster on this machine: it starts nodes as processes and knows no part of them.
    "sio_server.local": LEAVES | SETTINGS | {"sio_server.trace.contract"},
    "sio_server.wiring": LEAVES
    | SETTINGS
    | FILES
    | {"sio_server.gateway", "sio_server.dialog", "sio_server.cluster", "sio_server.data"},
    "sio_server.node": LEAVES
    | SETTINGS
    | FILES
    | {"sio_server.gateway", "sio_server.dialog", "sio_server.cluster", "sio_server.data", "sio_server.wiring"},
    "sio_clients": {"sio_server.protocol", "sio_server.tasks"},
    "roomgraph": {"sio_clients", "sio_server"},
}
# Parts that do no I/O and know no clock, with the libraries that they may use beside the pure standard ones.
PURE = {
    "sio_server.protocol": {"pydantic", "pydantic_core"},
    "sio_server.trace.contract": set(),
    "sio_server.dialog.outcome": set(),
    "sio_server.gateway.transport.frames": set(),
    "sio_server.gateway.transport.stock.frame_heads": set(),
    "sio_server.gateway.transport.inbound": set(),
    **{
        f"roomgraph.check.{module}": set()
        for module in (
            *("history", "recorder", "checker", "anomalies", "index", "lines", "parsing"),
            *("log_promises", "device_promises", "run_promises", "member_promises"),
        )
    },
}
STANDARD = sys.stdlib_module_names
# What decides by the outside world: time, chance, files, processes, the network, an event loop.
IMPURE = {
    *("asyncio", "contextvars", "multiprocessing", "threading", "concurrent", "sched", "signal", "selectors"),
    *("time", "random", "secrets", "uuid"),
    *(
        "os",
        "io",
        "pathlib",
        "tempfile",
        "shutil",
        "glob",
        "subprocess",
        "socket",
        "ssl",
        "http",
        "urllib",
        "logging",
    ),
}


def modules() -> list[tuple[str, Path]]:
    """Every module of the project with its file."""
    paths = [path for part in PACKAGES for path in sorted((ROOT / part).rglob("*.py"))]
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path) for path in paths
    ]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides what is imported"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, part: str) -> bool:
    """Whether a module is a part, or lies in it."""
    return name == part or name.startswith(part + ".")


def part_of(module: str) -> str | None:
    """The narrowest part that has a place in the layers."""
    return max((part for part in ALLOWED if within(module, part)), key=len, default=None)


def violations(module: str, imported: set[str]) -> list[str]:
    """What a module imports of the project and may not."""
    part = part_of(module)
    if part is None:
        return []
    ours = {name for name in imported if any(within(name, package) for package in PACKAGES)}
    allowed = ALLOWED[part] | {part}
    return sorted(n for n in ours if n not in PACKAGES and not any(within(n, a) for a in allowed))


def room_of(module: str) -> str:
    """The package in which a module lies: of the gateway, the dialog and the program, the folder inside."""
    names = module.split(".")
    inside = 3 if names[:2] in (["sio_server", "gateway"], ["sio_server", "dialog"]) else 2
    return ".".join(names[:inside])


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """A cycle of the graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        return list(exc.args[1])
    return []


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_dependencies_point_downward_only(module, path):
    assert violations(module, imports(path)) == []


def test_no_packages_import_each_other_in_a_cycle():
    known = {module for module, _ in modules()}
    graph: dict[str, set[str]] = {}
    for module, path in modules():
        rooms = {room_of(name) for name in imports(path) & known if name not in PACKAGES}
        graph.setdefault(room_of(module), set()).update(rooms - {room_of(module)})
    assert cycle(graph) == []


def test_a_cycle_would_be_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def impurities(imported: set[str], libraries: set[str]) -> set[str]:
    """What a pure module may not import."""
    roots = {name.partition(".")[0] for name in imported}
    return (roots & IMPURE) | (roots - STANDARD - set(PACKAGES) - libraries)


@pytest.mark.parametrize(("part", "libraries"), PURE.items())
def test_the_pure_core_does_no_io_and_knows_no_clock(part, libraries):
    inside = [(module, path) for module, path in modules() if within(module, part)]
    assert inside, f"there is no {part}"
    for module, path in inside:
        assert impurities(imports(path), libraries) == set(), module


@pytest.mark.parametrize("name", ["asyncio", "time", "socket", "os", "random", "redis", "socketio"])
def test_io_in_the_pure_core_would_be_found(name):
    assert impurities({name, "dataclasses", "sio_server.protocol.run"}, {"pydantic"}) == {name}


def test_only_the_transport_of_the_sdk_knows_socketio():
    knowing = [
        m for m, p in modules() if m.startswith("sio_clients") and any(within(n, "socketio") for n in imports(p))
    ]
    assert knowing == ["sio_clients.transport"]


def test_every_module_has_a_place_in_the_layers():
    assert {module for module, _ in modules() if part_of(module) is None} == {"sio_server", "sio_server.gateway"}


def test_a_forbidden_import_would_be_found():
    worker = {"sio_server.dialog.worker"}
    assert violations("sio_server.gateway.fanout.bus", worker) == ["sio_server.dialog.worker"]
    auth = {"sio_server.gateway.sessions.auth"}
    assert violations("sio_server.gateway.fanout.fanout", auth) == ["sio_server.gateway.sessions.auth"]
    log = {"sio_server.conversation.log"}
    assert violations("sio_server.protocol.run", log) == ["sio_server.conversation.log"]
    assert violations("sio_clients.client", auth) == ["sio_server.gateway.sessions.auth"]
    assert violations("sio_server.local.cluster", {"roomgraph.cli"}) == ["roomgraph.cli"]
    assert violations("sio_server.dialog.worker", {"sio_server.conversation.log", "json"}) == []

"""The layers: dependencies point downward only, and gateway and dialog meet only in the conversation log."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What each part may import of this project, besides itself.
ALLOWED = {
    "sio_server.protocol": set(),
    "sio_server.language": set(),
    "sio_server.settings": set(),
    "sio_server.logs": set(),
    "sio_server.open_files": set(),
    "sio_server.tasks": set(),
    "sio_server.conversation": {"sio_server.protocol"},
    "sio_server.cluster": {
        "sio_server.protocol",
        "sio_server.conversation",
        "sio_server.language",
        "sio_server.settings",
        "sio_server.tasks",
    },
    "sio_server.gateway": {"sio_server.protocol", "sio_server.conversation", "sio_server.tasks"},
    "sio_server.dialog": {"sio_server.protocol", "sio_server.conversation", "sio_server.tasks"},
    "sio_server.app": {
        "sio_server.protocol",
        "sio_server.conversation",
        "sio_server.cluster",
        "sio_server.gateway",
        "sio_server.dialog",
        "sio_server.settings",
        "sio_server.tasks",
        "sio_server.open_files",
    },
    "sio_clients": {"sio_server.protocol", "sio_server.language", "sio_server.open_files", "sio_server.tasks"},
}
PURE = {
    "sio_server.protocol": {"pydantic"},
    **{
        f"sio_clients.check.{module}": set()
        for module in (
            *("history", "recorder", "checker", "anomalies", "index", "file"),
            *("log_promises", "device_promises", "run_promises"),
        )
    },
}
STANDARD = __import__("sys").stdlib_module_names


def modules() -> list[tuple[str, Path]]:
    paths = [path for part in ("sio_server", "sio_clients") for path in sorted((ROOT / part).rglob("*.py"))]
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
    return name == part or name.startswith(part + ".")


def violations(module: str, imported: set[str]) -> list[str]:
    part = next((part for part in ALLOWED if within(module, part)), None)
    if part is None:
        return []
    ours = {name for name in imported if within(name, "sio_server") or within(name, "sio_clients")}
    allowed = ALLOWED[part] | {part}
    return sorted(n for n in ours if n != "sio_server" and not any(within(n, a) for a in allowed))


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_dependencies_point_downward_only(module, path):
    assert violations(module, imports(path)) == []


@pytest.mark.parametrize(("part", "libraries"), PURE.items())
def test_the_pure_core_imports_no_library_but_those_named(part, libraries):
    for module, path in modules():
        if within(module, part):
            roots = {name.partition(".")[0] for name in imports(path)}
            assert roots - STANDARD - {"sio_server", "sio_clients"} <= libraries, module


def test_only_the_transport_of_the_sdk_knows_socketio():
    knowing = [
        m for m, p in modules() if m.startswith("sio_clients") and any(within(n, "socketio") for n in imports(p))
    ]
    assert knowing == ["sio_clients.transport"]


def test_every_part_of_the_server_has_a_place_in_the_layers():
    placed = {module for module, _ in modules() if any(within(module, part) for part in ALLOWED)}
    rest = {module for module, _ in modules()} - placed
    assert rest == {"sio_server", "sio_server.__main__"}


def test_a_forbidden_import_would_be_found():
    assert violations("sio_server.gateway.bus", {"sio_server.dialog.worker"}) == ["sio_server.dialog.worker"]
    assert violations("sio_server.protocol.run", {"sio_server.conversation.log"}) == [
        "sio_server.conversation.log"
    ]
    assert violations("sio_clients.client", {"sio_server.gateway.auth"}) == ["sio_server.gateway.auth"]
    assert violations("sio_server.dialog.runs", {"sio_server.conversation.log", "json"}) == []

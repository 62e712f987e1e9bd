"""The SDK alone: a distribution of its own that talks to any node, without the server and its libraries."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from sio_server.local.cluster import LocalCluster
from tests.installed import ROOT, Environment, build

CLIENT = ROOT / "distribution" / "client"
# Libraries of the server, the program and the agents.
NOT_NEEDED = (
    "langgraph",
    "redis",
    "redisvl",
    "rich",
    "typer",
    "prometheus_client",
    "dotenv",
    "jwt",
)
SHARED = ("sio_server", "sio_server.protocol", "sio_server.tasks")

TALK = """
import asyncio, sys
from sio_clients import connect_guest

async def main():
    async with connect_guest(sys.argv[1:], "Ann") as ann:
        conversation = await ann.create("Plans", agent="always")
        ack = await conversation.send("book a room for a workshop")
        async for entry in conversation.entries():
            if entry.type == "answer" and entry.seq > ack.seq:
                print(entry.text)
                return

asyncio.run(main())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_sdk_can_be_imported_without_the_libraries_of_the_server() -> None:
    blocked = f"import sys\nfor name in {NOT_NEEDED!r}: sys.modules[name] = None\n"
    run(f"{blocked}import sio_clients, sio_clients.bots.echo, sio_clients.bots.personas")


def test_the_sdk_loads_of_the_server_only_the_protocol_and_no_web_server() -> None:
    loaded = run("import sys, sio_clients, sio_clients.bots.echo; print(*sys.modules)").split()
    server = {name for name in loaded if name.startswith("sio_server")}
    assert {name for name in server if not name.startswith("sio_server.protocol.")} == set(SHARED)
    assert not {"aiohttp.web", "roomgraph", "langgraph", "rich"} & set(loaded)


async def test_the_client_wheel_alone_talks_to_a_node(cluster: LocalCluster, tmp_path: Path) -> None:
    wheel = await asyncio.to_thread(build, "wheel", CLIENT, tmp_path / "dist")
    environment = await asyncio.to_thread(Environment, tmp_path / "env")
    await asyncio.to_thread(environment.install, wheel)
    answer = await asyncio.to_thread(environment.run, TALK, *cluster.urls)
    assert "When do you need it?" in answer
    absent = "import importlib.util as u; print([n for n in {!r} if u.find_spec(n)])"
    server = ("sio_server.gateway", "sio_server.settings", "roomgraph", *NOT_NEEDED)
    assert environment.run(absent.format(server)).strip() == "[]"


def test_both_distributions_have_one_version_one_licence_and_the_same_bounds() -> None:
    whole, client = (
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for folder in (ROOT, CLIENT)
    )
    for name in ("version", "requires-python", "license"):
        assert client[name] == whole[name]
    assert set(map(Requirement, client["dependencies"])) <= set(map(Requirement, whole["dependencies"]))
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()

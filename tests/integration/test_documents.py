"""The documents: the protocol's clients run as they are printed, and nothing that exists is missing."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from roomgraph.cli.app import app
from roomgraph.tour.play import SPARE_SCENES
from sio_clients import guest_token
from sio_server.protocol.errors import ErrorCode
from sio_server.protocol.events import ClientEvent, EntryType, ServerEvent
from sio_server.settings import Settings
from tests.integration.test_authorisation import ACCESS, ROLES
from tests.waiting import first_of, within

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", [*ClientEvent, *ServerEvent, *EntryType, *ErrorCode])
def test_every_event_entry_type_and_error_code_is_in_the_protocol(name):
    assert f"`{name}`" in PROTOCOL


def test_no_event_is_in_the_protocol_that_does_not_exist():
    named = set(re.findall(r"`([a-z]+:[a-z_]+)`", PROTOCOL))
    assert named == {str(name) for name in (*ClientEvent, *ServerEvent)}


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_every_setting_is_documented_in_operations(setting):
    assert f"`{setting.upper()}`" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_documentation_of_reliability_counts_the_events_and_the_roles():
    counted = f"{len(ClientEvent)} events x {len(ROLES)} roles x {len(ACCESS)} kinds of access"
    assert counted in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


READMES = ["README.md", "README.zh-CN.md"]


@pytest.mark.parametrize("document", READMES)
def test_the_readme_names_every_command(document):
    (listed,) = re.findall(
        r"^roomgraph --help +# (.*\n(?: +# .*\n)*)", (ROOT / document).read_text("utf-8"), re.MULTILINE
    )
    commands = {one.name for one in app.registered_commands} | {one.name for one in app.registered_groups}
    assert set(re.findall(r"[a-z-]+", listed)) == commands


@pytest.mark.parametrize("document", [*READMES, "quick_start.sh", "docs/operations.md"])
@pytest.mark.parametrize("scene", SPARE_SCENES)
def test_every_scene_that_is_played_when_named_is_documented(document, scene):
    assert re.search(rf"\b{scene}\b", (ROOT / document).read_text("utf-8"))


PAGES = sorted(
    path.relative_to(ROOT)
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = [heading.replace("`", "") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_links_of_a_page_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s:]*)\)", (ROOT / page).read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("document", READMES)
async def test_the_shortest_client_of_the_readme_is_under_15_lines_and_runs(cluster, document):
    (code,) = blocks((ROOT / document).read_text(encoding="utf-8"), "python")
    assert len([line for line in code.splitlines() if line.strip()]) < 15
    for number, url in enumerate(cluster.urls[:2]):
        code = code.replace(f"http://127.0.0.1:900{number}", url)
    assert "900" not in code.replace(cluster.urls[0], "").replace(cluster.urls[1], "")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    async with within(30, "the end of the client"):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert "agent:concierge" in output.decode().splitlines()[-1]


async def line_with(process: Process, text: str) -> str:
    """The next line of the output that holds `text`."""
    assert process.stdout is not None
    return (await first_of(process.stdout, lambda line: text in line.decode(), text)).decode()


CLIENTS = {"python": ("client.py", [sys.executable, "-u"]), "js": ("client.mjs", ["node"])}


@pytest.mark.parametrize("language", CLIENTS)
def test_a_printed_client_has_at_most_80_lines(language):
    (code,) = blocks(PROTOCOL, language)
    assert len(code.splitlines()) <= 80


def test_the_protocol_has_at_most_450_lines():
    assert len(PROTOCOL.splitlines()) <= 450


class PrintedClient:
    """A client of the protocol's document in a process of its own."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def says(self, text: str) -> str:
        return await line_with(self.process, text)

    async def types(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        await self.process.stdin.drain()

    async def books_a_room(self) -> None:
        await self.says("1 conversation_created Ann")
        await self.types("a workshop room tomorrow at 10 for 6 people")
        await self.says("3 interrupt")
        await self.types("approve")
        assert "approve" in await self.says("4 interrupt_resolved")
        await self.says("5 answer")

    async def is_being_answered(self) -> None:
        await self.types("a summary of all bookings, please")
        await self.says("~ 1 running")
        await self.says("~ 1  Open ")

    async def goes_on(self) -> None:
        # What the dead node has said is withdrawn: the other node gives the answer, as version 2.
        await self.says("~ 2 running")
        await self.says("7 answer")
        await self.types("谢谢 😀")
        assert "谢谢 😀" in await self.says("8 message")
        await self.says("9 answer")


@pytest.mark.faults
async def test_the_printed_clients_stream_answer_a_question_and_survive_a_killed_node(start_cluster, tmp_path):
    (tmp_path / "node_modules").symlink_to(ROOT / "web" / "node_modules")
    cluster = await start_cluster(nodes=2, WORD_DELAY="0.15")
    first, second = cluster.ports
    await cluster.signal_node(second, signal.SIGKILL)  # so the first node executes all runs, until it is killed
    _, token = await guest_token(cluster.urls[0], "Ann")
    clients: list[PrintedClient] = []
    try:
        for language, (name, command) in CLIENTS.items():
            (tmp_path / name).write_text(*blocks(PROTOCOL, language))
            arguments = [*command, name, ",".join(cluster.urls), token, f"room-{language}"]
            process = await asyncio.create_subprocess_exec(*arguments, cwd=tmp_path, stdin=PIPE, stdout=PIPE)
            clients.append(PrintedClient(process))
        await asyncio.gather(*(client.books_a_room() for client in clients))
        await asyncio.gather(*(client.is_being_answered() for client in clients))
        await cluster.signal_node(first, signal.SIGKILL)
        await cluster.start_node(second)
        await asyncio.gather(*(client.goes_on() for client in clients))
        assert [client.process.returncode for client in clients] == [None, None]
    finally:
        for client in clients:
            if client.process.returncode is None:
                client.process.kill()
            await client.process.communicate()

"""The documents: the protocol's client runs as it is printed, and nothing that exists is missing."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from sio_server.protocol.errors import ErrorCode
from sio_server.protocol.events import ClientEvent, EntryType, ServerEvent
from sio_server.settings import Settings
from tests.waiting import first_of, within

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", [*ClientEvent, *ServerEvent, *EntryType, *ErrorCode])
def test_every_event_entry_type_and_error_code_is_in_the_protocol(name):
    assert f"`{name}`" in PROTOCOL


def test_no_event_is_in_the_protocol_that_does_not_exist():
    named = set(re.findall(r"`([a-z]+:[a-z_]+)`", PROTOCOL))
    assert named == {str(name) for name in (*ClientEvent, *ServerEvent)}


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_every_setting_is_documented_in_operations(setting):
    assert f"`{setting.upper()}`" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", ["README.md", "README.zh-CN.md"])
async def test_the_shortest_client_of_the_readme_is_under_15_lines_and_runs(cluster, document):
    (code,) = python_blocks((ROOT / document).read_text(encoding="utf-8"))
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


async def test_a_client_written_from_the_protocol_alone_follows_and_catches_up(start_cluster, tmp_path):
    import signal

    (code,) = python_blocks(PROTOCOL)
    program = tmp_path / "client.py"
    program.write_text(code)
    cluster = await start_cluster(nodes=2)
    people = []
    for name, url in (("Ann", cluster.urls[0]), ("Bob", cluster.urls[1])):
        command = [sys.executable, str(program), url, "lobby", name]
        person = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        people.append(person)
        await line_with(person, "conversation_created")
    ann, bob = people
    try:
        assert ann.stdin is not None
        ann.stdin.write("hello 你好\n".encode())
        lines = [await line_with(person, "hello 你好") for person in people]
        assert lines[0] == lines[1]
        # Bob's node dies; what Ann says meanwhile is there when it is back.
        await cluster.signal_node(cluster.ports[1], signal.SIGKILL)
        for number in range(5):
            ann.stdin.write(f"missed {number}\n".encode())
        await line_with(ann, "missed 4")
        await cluster.start_node(cluster.ports[1])
        missed = [await line_with(bob, "message") for _ in range(5)]
        assert [line.rsplit(" ", 2)[1:] for line in missed] == [["missed", f"{n}\n"] for n in range(5)]
    finally:
        for person in people:
            person.kill()
            await person.communicate()

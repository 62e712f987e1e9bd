"""The documents: the protocol's clients run as they are printed, and nothing that exists is missing."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from sio_clients import guest_token
from sio_server.protocol.errors import ErrorCode
from sio_server.protocol.events import ClientEvent, EntryType, ServerEvent
from sio_server.settings import Settings
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


@pytest.mark.parametrize("document", ["README.md", "README.zh-CN.md"])
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


@pytest.mark.parametrize("language", CLIENTS)
async def test_a_printed_client_streams_answers_a_question_and_survives_its_node(start_cluster, tmp_path, language):
    (code,) = blocks(PROTOCOL, language)
    name, command = CLIENTS[language]
    (tmp_path / name).write_text(code)
    (tmp_path / "node_modules").symlink_to(ROOT / "web" / "node_modules")
    cluster = await start_cluster(nodes=2, WORD_DELAY="0.1")
    _, token = await guest_token(cluster.urls[0], "Ann")
    client = await asyncio.create_subprocess_exec(
        *command, name, ",".join(cluster.urls), token, "lobby", cwd=tmp_path, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert client.stdin is not None
    try:
        await line_with(client, "1 conversation_created Ann")
        client.stdin.write(b"a workshop room tomorrow at 10 for 6 people\n")
        await line_with(client, "3 interrupt")
        client.stdin.write(b"approve\n")
        assert "approve" in await line_with(client, "4 interrupt_resolved")
        await line_with(client, "5 answer")
        client.stdin.write(b"a summary of all bookings, please\n")
        await line_with(client, "~ 1 running")
        await line_with(client, "~ 1  Open ")
        await cluster.signal_node(cluster.ports[0], signal.SIGKILL)
        # What the dead node has said is withdrawn, and the answer is streamed again, by the other node.
        await line_with(client, "~ 2 running")
        await line_with(client, "~ 2  Open ")
        await line_with(client, "7 answer")
        client.stdin.write("谢谢\n".encode())
        assert "谢谢" in await line_with(client, "8 message")
        await line_with(client, "9 answer")
        assert client.returncode is None
    finally:
        if client.returncode is None:
            client.kill()
        await client.communicate()

"""The command line in this process: what is loaded, and that messages are shown as they were written."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from roomgraph.cli.app import app
from sio_server.gateway.push.encryption import Sealer
from sio_server.settings import DEFAULT_REDIS_PORT, hide_password, load_settings

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("langgraph", "langchain_core", "redis", "redisvl", "socketio", "aiohttp", "pydantic", "roomgraph.tour")
MARKUP = ["[embedded]", "[/x]", ":smile:", "[bold]x[/]"]


def invoke(*args: str, **env: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, args, env={"COLUMNS": "200", **env})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_help_loads_nothing_that_only_a_command_needs() -> None:
    code = f"import sys, roomgraph.cli.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_chat_and_the_echo_bot_load_no_server() -> None:
    code = (
        "import sys, roomgraph.chat, sio_clients.bots.echo\n"
        "print([name for name in ('langgraph', 'sio_server.gateway', 'sio_server.dialog') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_the_default_port_of_redis_is_named_in_its_help() -> None:
    assert str(DEFAULT_REDIS_PORT) in invoke("redis", "--help")[1]


def test_no_help_text_has_brackets_that_rich_would_take_for_markup() -> None:
    group = typer.main.get_command(app)
    for command in group.commands.values():  # type: ignore[attr-defined]
        texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
        assert not [text for text in texts if text and "[" in text], command.name


def printed_strings(path: Path) -> list[int]:
    """The lines on which a string goes to a console as it is: Rich would parse it."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "print"
        if any(isinstance(argument, ast.JoinedStr | ast.Constant) for argument in call.args)
    ]


def test_no_command_prints_a_string_that_rich_would_parse() -> None:
    folders = (ROOT / "roomgraph" / "cli", ROOT / "sio_server" / "local")
    files = [ROOT / "roomgraph" / "chat.py", *(path for folder in folders for path in folder.glob("*.py"))]
    assert {path.name: lines for path in files if (lines := printed_strings(path))} == {}


@pytest.mark.parametrize("value", MARKUP)
@pytest.mark.parametrize(
    "args",
    [
        ("tour", "--scene"),
        ("tour", "--lang"),
        ("tour", "--url"),
        ("revoke",),
        ("revoke", "ann", "--device"),
        ("check",),
        ("chat", "--url"),
        (),
    ],
)
def test_a_wrong_value_is_shown_as_it_was_given(args: tuple[str, ...], value: str) -> None:
    status, output = invoke(*args, value, LANG="en_US.UTF-8")
    assert status == 2
    assert value in output


@pytest.mark.parametrize(
    "args",
    [("up", "--port", "0"), ("up", "--nodes", "x"), ("tour", "--seed", "-1"), ("tour", "--duration", "[/x]")],
)
def test_a_number_that_cannot_be_is_refused_with_the_name_of_its_option(args: tuple[str, ...]) -> None:
    status, output = invoke(*args)
    assert status == 2
    assert f"'{args[1]}'" in output


@pytest.mark.parametrize("value", MARKUP)
def test_a_file_that_cannot_be_written_is_shown_as_it_was_given(value: str) -> None:
    status, output = invoke("tour", "--json", f"/nowhere/{value}/x")
    assert status == 2
    assert f"--json /nowhere/{value}/x: " in output


@pytest.mark.parametrize("command", [("status",), ("revoke", "ann"), ("redis",)])
@pytest.mark.parametrize("url", ["redis://127.0.0.1:x[/x]", "redis://a:1,b:2"])
def test_a_redis_url_that_cannot_be_read_is_named_without_a_traceback(command: tuple[str, ...], url: str) -> None:
    status, output = invoke(*command, REDIS_URL=url)
    assert status == 2
    assert f"REDIS_URL={hide_password(url)}" in output


def test_vapid_prints_settings_that_a_node_takes() -> None:
    status, printed = invoke("vapid")
    assert status == 0
    settings = dict(line.split("=", 1) for line in printed.splitlines() if not line.startswith("#"))
    taken = load_settings(
        auth_mode="guest",
        vapid_private_key=settings["VAPID_PRIVATE_KEY"],
        vapid_subject=settings["VAPID_SUBJECT"],
    )
    assert taken.features == ["guests", "device_links", "search", "push"]
    sealer = Sealer(taken.vapid_private_key, taken.vapid_subject, lambda: 0.0)
    assert printed.splitlines()[-1] == f"# the public key: {sealer.public_key}"
    assert invoke("vapid")[1] != printed

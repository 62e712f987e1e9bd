"""The `roomgraph` command as people run it: processes, exit statuses, and what is said on a mistake."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from rich.console import Console

from roomgraph.questions import Answer, chat_texts, read_line
from roomgraph.tour.play import play
from sio_clients import connect_guest
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.forms import form_of
from tests.conftest import SECRET, free_ports
from tests.waiting import Inbox, first_of, poll

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("REDIS_URL", "PORT", "AUTH_MODE", "AUTH_SECRET", "LOG_LEVEL", "TOKEN_TTL")


_started: list[Process] = []


@pytest.fixture(autouse=True)
async def _end_processes() -> AsyncIterator[None]:
    """Whatever a test has started is ended after it, and its pipes are closed."""
    yield
    while _started:
        process = _started.pop()
        if process.returncode is None:
            process.kill()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await process.communicate()


async def start(*args: str, cwd: Path = ROOT, program: Sequence[str] = (), **env: Any) -> Process:
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = program or (sys.executable, "-m", "roomgraph")
    process = await asyncio.create_subprocess_exec(
        *command,
        *args,
        cwd=cwd,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**clean, "PYTHONPATH": str(ROOT), **env},
    )
    _started.append(process)
    return process


async def shows(process: Process, words: str, timeout: float = 30) -> str:
    """Read what a command prints up to a line with these words."""
    assert process.stdout is not None
    return (await first_of(process.stdout, lambda line: words in line.decode(), words, timeout)).decode()


async def roomgraph(*args: str, cwd: Path = ROOT, **env: str) -> tuple[int, str, str]:
    """Run the command to its end; returns exit status, output and errors."""
    process = await start(*args, cwd=cwd, **env)
    output, errors = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode is not None
    assert "Traceback" not in output.decode() + errors.decode()
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize(
    "command",
    [
        *((), ("up",), ("node",), ("redis",), ("status",), ("doctor",), ("token",), ("tour",), ("check",)),
        *(("chat",), ("echo-bot",)),
    ],
)
async def test_every_command_has_help(command):
    status, output, _ = await roomgraph(*command, "--help")
    assert status == 0
    assert "Usage" in output


async def test_the_doctor_finds_nothing_that_must_be_changed_in_a_cluster_of_ours(cluster):
    surroundings = {"AUTH_SECRET": SECRET, "AUTH_MODE": "token", "REDIS_URL": cluster.redis_url}
    status, output, _ = await roomgraph("doctor", "--json", **surroundings)
    report = json.loads(output)
    facts = {finding["fact"]: finding["level"] for finding in report["findings"]}
    assert (status, report["ok"]) == (0, True), output
    assert facts["redis_writes"] == facts["redis_good"] == facts["clock_good"] == "good"
    assert facts["redis_no_replica"] == "warn"
    status, output, _ = await roomgraph("doctor", "--lang", "zh", *cluster.urls)
    assert (status, output.count("websocket 已打开")) == (0, 3), output


async def test_the_doctor_says_by_its_exit_status_that_something_must_be_changed(cluster):
    status, output, _ = await roomgraph("doctor", AUTH_SECRET=SECRET, REDIS_URL="redis://127.0.0.1:1/0")
    assert (status, "Redis does not answer" in output) == (1, True), output
    for wrong in ("chat.example.com", "http://[", "http://", "http://127.0.0.1:99999", "https://a:b"):
        status, _, errors = await roomgraph("doctor", wrong)
        assert (status, "write an address" in errors) == (2, True), wrong


async def test_a_token_is_signed_with_the_secret_and_carries_the_user(cluster, raw_client):
    status, output, _ = await roomgraph("token", "ann@example.com", "--name", "Ann", AUTH_SECRET=SECRET)
    assert status == 0
    claims = jwt.decode(output.strip(), SECRET, algorithms=["HS256"], audience="roomgraph")
    assert (claims["sub"], claims["name"], claims["exp"] - claims["iat"]) == ("ann@example.com", "Ann", 86_400)
    client = await raw_client(token=output.strip())
    assert client.named("session:opened")[0]["user_id"] == "ann@example.com"


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        (("node",), {}, ["AUTH_SECRET is not set", "secrets.token_hex"]),
        (("node",), {"AUTH_MODE": "open"}, ["AUTH_MODE=open", "write token", "or guest"]),
        (("node",), {"AUTH_MODE": "guest", "PORT": "eighty"}, ["PORT=eighty", "such as 9000"]),
        (("node",), {"AUTH_MODE": "guest", "REDIS_URL": "localhost"}, ["REDIS_URL=localhost", "redis://"]),
        *(
            (command, {"REDIS_URL": url}, [*said, "REDIS_URL: write a URL"])
            for command in (("status",), ("revoke", "ann"), ("up",))
            for url, said in (
                ("redis://a:1,b:2", ["several servers are named"]),
                (
                    "redis://h:6379/0?password=secret&x=1",
                    ["redis://h:6379/0?***", "an & in a password is written %26"],
                ),
                ("redis+sentinel://h:1", ["the name of the service", "redis+sentinel://host:26379"]),
            )
        ),
        (("node",), {"AUTH_MODE": "guest", "METRICS_TOKEN": "short"}, ["METRICS_TOKEN: write at least 16"]),
        (("token", "ann"), {}, ["AUTH_SECRET is not set"]),
        (("token", "agent:x"), {"AUTH_SECRET": SECRET}, ["cannot be a user id"]),
        (
            ("tour", "--scene", "nonsense"),
            {},
            ["no such scene", "consistency, recovery, devices, approval, status"],
        ),
        (("tour", "--scene", "nonsense"), {}, ["load, node-failure, latency, chaos, redis-failover, reshard"]),
        (("tour", "--scene", "chaos", "--url", "http://127.0.0.1:1"), {}, ["starts its own", "leave --url out"]),
        (("up", "--tour", "--scene", "latency"), {"REDIS_URL": "redis://127.0.0.1:1/0"}, ["unset REDIS_URL"]),
        (("up", "--redis", "sentinel"), {"REDIS_URL": "redis://127.0.0.1:1/0"}, ["unset REDIS_URL"]),
        *(
            (("up", "--redis", topology, "--tour", "--scene", "latency"), {}, ["play it without --redis"])
            for topology in ("sentinel", "cluster")
        ),
        (("up", "--tour", "--scene", "node-failure", "--nodes", "1"), {}, ["two at least", "--nodes 3"]),
        (("tour", "--lang", "fr"), {}, ["write en or zh"]),
        (("tour", "--url", "http://127.0.0.1:1"), {}, ["127.0.0.1:1"]),
        (("tour", "--json", "/nowhere/x.json"), {}, ["/nowhere/x.json"]),
        (("status",), {"REDIS_URL": "redis://127.0.0.1:1/0"}, ["cannot be reached", "redis://127.0.0.1:1/0"]),
        (("chat", "--url", "http://127.0.0.1:1"), {}, ["127.0.0.1:1"]),
        (("chat", "--url", "foo"), {}, ["--url foo", "http://127.0.0.1:9000"]),
    ],
)
async def test_a_wrong_option_or_setting_is_named_with_what_to_write_instead(args, env, said):
    status, _, errors = await roomgraph(*args, **env)
    assert status != 0
    for words in said:
        assert words in errors.replace("\n", " "), errors


async def test_the_status_is_read_from_redis(cluster, new_client):
    await new_client("Ann")
    status, output, _ = await roomgraph("status", "--json", REDIS_URL=cluster.redis_url)
    assert status == 0
    facts = json.loads(output)
    assert [node["port"] for node in facts["nodes"]] == cluster.ports
    assert facts["bus_subscriptions"] == 3
    assert facts["active_sessions"] >= 1
    assert (facts["healthy"], facts["problems"], len(facts["versions"])) == (True, [], 1)
    assert {node["state"] for node in facts["nodes"]} == {"ready"}


@pytest.mark.faults
async def test_up_plays_the_tour_writes_its_facts_and_leaves_no_process_behind(tmp_path):
    port = free_ports(3)
    facts_file = tmp_path / "facts.json"
    arguments = (
        "up",
        "--tour",
        "--port",
        str(port),
        "--data-dir",
        str(tmp_path / "data"),
        "--json",
        str(facts_file),
    )
    status, output, errors = await roomgraph(*arguments, LANG="en_US.UTF-8")
    assert status == 0, output + errors
    facts = json.loads(facts_file.read_text())
    assert facts["ok"] is True
    parts = ["consistency", "recovery", "failover", "devices", "approval", "status"]
    assert list(facts["scenes"]) == parts
    consistency = facts["scenes"]["consistency"]
    figures = [consistency[name] for name in ("sent", "received", "lost", "duplicated", "reordered")]
    assert figures == [25, 100, 0, 0, 0]
    assert 0 < consistency["latency_ms"]["p50"] <= consistency["latency_ms"]["p99"]
    for client in facts["scenes"]["recovery"]["clients"]:
        assert (client["verdict"], client["replayed"], client["dialog_resumed"]) == ("resumed", 9, True)
        assert client["from_node"] != client["to_node"]
    failover = facts["scenes"]["failover"]
    assert (failover["attempts"], failover["answers"]) == (2, 1)
    assert failover["withdrawn_chars"] >= 20
    # A lease that was renewed just before the kill lasts 3 s; the dead node's message may be claimed 1 s later.
    assert 1.5 < failover["takeover_s"] < 10
    assert "which was answering, is killed" in output
    nodes = [str(port + number) for number in range(3)]
    assert [device["node"] for device in facts["scenes"]["devices"]["devices"]] == nodes
    approval = facts["scenes"]["approval"]
    assert [approval[name] for name in ("asked_on", "answered_on", "answers", "bookings")] == [*nodes[1::-1], 1, 1]
    cluster_status = facts["scenes"]["status"]
    figures = [cluster_status[name] for name in ("nodes", "active_sessions", "bus_subscriptions")]
    assert figures == [3, 8, 3]
    assert cluster_status["runs"] == cluster_status["runs_finished"] >= 11
    for number in (port, port + 1, port + 2, port + 379):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", number)) != 0, f"{number} is still served"


async def test_the_tour_passes_on_a_shared_cluster_of_which_it_knows_one_node(cluster, new_client):
    await new_client("Uncounted")
    arguments = ("tour", "--url", cluster.urls[0], "--scene", "status", "--clients", "3")
    status, output, _ = await roomgraph(*arguments, LANG="en_US.UTF-8")
    assert status == 0, output
    assert "≥ 3" in output


@pytest.mark.faults
async def test_the_tour_does_not_kill_nodes_that_it_did_not_start(cluster, tmp_path):
    facts = tmp_path / "facts.json"
    urls = [argument for url in cluster.urls for argument in ("--url", url)]
    status, output, _ = await roomgraph("tour", *urls, "--scene", "recovery", "--lang", "en", "--json", str(facts))
    assert status == 0, output
    assert "Left out: a node dies while answering" in output
    assert list(json.loads(facts.read_text())["scenes"]) == ["recovery"]
    assert cluster.ended.empty()


@pytest.mark.faults
async def test_the_tour_fails_when_no_other_node_completes_the_answer(cluster, tmp_path):
    class Immortal:
        """Nodes that answer on, whatever is done to them."""

        ports = cluster.ports
        unexpected_ends = ()
        killed = 0

        async def signal_node(self, port: int, number: signal.Signals) -> None:
            assert number == signal.SIGKILL
            self.killed += 1

        async def start_node(self, port: int) -> None: ...

    nodes: Any = Immortal()
    facts = tmp_path / "facts.json"
    output = io.StringIO()
    screen = Console(file=output)
    held = await play(
        cluster.urls,
        console=screen,
        language="en",
        clients=3,
        scenes=["recovery"],
        json_file=facts,
        alone=False,
        nodes=nodes,
    )
    assert not held
    scenes = json.loads(facts.read_text())["scenes"]
    assert (scenes["recovery"]["ok"], scenes["failover"]["ok"]) == (True, False)
    assert "Scenes that did not pass: failover" in output.getvalue()


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_a_question_that_is_asked_on_one_node_is_answered_once_on_another(cluster, tmp_path, language):
    facts = tmp_path / "facts.json"
    urls = [argument for url in cluster.urls for argument in ("--url", url)]
    arguments = ("--scene", "approval", "--clients", "3", "--lang", language, "--json", str(facts))
    status, output, _ = await roomgraph("tour", *urls, *arguments)
    assert status == 0, output
    assert "already_resolved" in output
    asked_on, answered_on = str(cluster.ports[1]), str(cluster.ports[0])
    told = {"ok": True, "asked_on": asked_on, "answered_on": answered_on, "answers": 1, "bookings": 1}
    assert json.loads(facts.read_text())["scenes"] == {"approval": told}


@pytest.mark.faults
async def test_the_tour_fails_when_messages_do_not_reach_every_node(cluster, start_cluster, tmp_path):
    # Two clusters that know nothing of each other: what is written on one does not come to the other.
    other = await start_cluster(nodes=1)
    urls = ("--url", cluster.urls[0], "--url", other.urls[0])
    facts = tmp_path / "facts.json"
    arguments = ("tour", *urls, "--scene", "consistency", "--clients", "3", "--json", str(facts))
    status, output, _ = await roomgraph(*arguments, LANG="en_US.UTF-8")
    assert status == 1
    assert "Scenes that did not pass" in output
    assert json.loads(facts.read_text())["ok"] is False


@pytest.mark.faults
async def test_an_interrupted_tour_does_not_exit_with_success(tmp_path):
    port = free_ports(1)
    arguments = ("--port", str(port), "--nodes", "1", "--data-dir", str(tmp_path), "--lang", "en")
    process = await start("up", "--tour", "--once", *arguments)
    await shows(process, "Scene 1", 60)
    process.send_signal(signal.SIGTERM)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 130
    assert "All processes are stopped" in output.decode()


@pytest.mark.faults
async def test_up_restarts_a_node_and_redis_that_exit_unexpectedly_and_says_so(tmp_path):
    port = free_ports(1)
    process = await start("up", "--port", str(port), "--nodes", "1", "--data-dir", str(tmp_path), "--lang", "en")
    await shows(process, "Ctrl-C stops", 60)
    for name in (f"node-{port}", "redis"):
        os.kill(json.loads((tmp_path / "processes.json").read_text())[name], signal.SIGKILL)
        assert "exit status -9" in await shows(process, f"{name} exited unexpectedly")
        await shows(process, f"{name} was restarted and is ready")
    async with connect_guest(f"http://127.0.0.1:{port}", "Ann") as ann:
        await (await ann.create("After", agent="off")).send("still here")
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0


@pytest.mark.faults
async def test_up_prints_the_stage_url_and_does_not_report_nodes_killed_there_as_unexpected(tmp_path):
    port = free_ports(1)
    process = await start("up", "--port", str(port), "--nodes", "1", "--data-dir", str(tmp_path), "--lang", "zh")
    line = await shows(process, "/stage#key=")
    assert "演示台" in line
    url, _, key = line[line.index("http") :].strip().partition("/stage#key=")
    assert url == f"http://127.0.0.1:{port}"
    assert len(key) >= 32
    await shows(process, "Ctrl-C")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http:
        async with http.get(f"{url}/api/trace") as trace:
            control = json.loads(await trace.content.readline())["control"]
            async with http.post(f"{control}/nodes/{port}/kill") as response:
                assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):  # it was killed in the middle of its stream
                await trace.content.read()
        async with http.post(f"{control}/nodes/{port}/start") as response:
            assert (await response.json())["nodes"][0]["running"] is True
        async with http.get(f"{control}/state") as response:
            (laptop, *_) = (await response.json())["devices"]
        async with http.get(f"{laptop['url']}/healthz") as response:
            assert (await response.json())["node"] == str(port)
        async with http.post(f"{control}/devices/laptop/drop") as response:
            assert (await response.json())["dropped"] == 1
    process.send_signal(signal.SIGINT)
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert "意外退出" not in output.decode()
    assert errors == b""


@pytest.mark.faults  # for the processes that it starts
async def test_a_log_in_json_has_nothing_but_json_also_of_what_is_wrong_and_that_a_node_is_ready(cluster):
    chosen: Any = {
        "AUTH_MODE": "guest",
        "REDIS_URL": cluster.redis_url,
        "LOG_FORMAT": "json",
        "NODE_NAME": "web-1",
    }
    settings: Any = {"LEASE": "0", "TOKEN_TTL": "1"}
    variables: Any = {"TRACES": "otlp", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5000"}
    for env, said in (
        (settings, ["LEASE=0: ", "TOKEN_TTL=1: "]),
        (variables, ["TRACES=otlp: a variable OTEL_... is wrong: max_export_batch_size"]),
    ):
        status, output, errors = await roomgraph("node", **chosen, **env)
        lines = [line for line in map(json.loads, errors.splitlines()) if line["level"] == "error"]
        assert (status, output) == (2, "")
        assert len(lines) == len(said)
        for line, begin in zip(sorted(lines, key=lambda line: line["message"]), said, strict=True):
            assert (line["level"], line["node"]) == ("error", "web-1")
            assert line["message"].startswith(begin)
    node = await start("node", PORT=str(free_ports(1)), HOST="127.0.0.1", DRAIN_GRACE="0", **chosen)
    assert node.stderr is not None
    # A slow machine may give reason to more lines, which are objects too.
    async with asyncio.timeout(90):
        while not (line := json.loads(await node.stderr.readline()))["message"].startswith(
            "node web-1 is ready on"
        ):
            assert line["node"] == "web-1"
    assert line["level"] == "info"
    node.send_signal(signal.SIGTERM)
    _, rest = await asyncio.wait_for(node.communicate(), 90)
    assert all(json.loads(line)["node"] == "web-1" for line in rest.splitlines())


async def test_a_redis_that_refuses_access_is_reported_at_once(cluster):
    for url in (cluster.redis_url[:-1] + "99", cluster.redis_url.replace("//", "//somebody:hunter2@")):
        status, _, errors = await asyncio.wait_for(roomgraph("node", AUTH_MODE="guest", REDIS_URL=url), 40)
        assert status == 2
        assert "Redis refuses" in errors.replace("\n", " ")
        assert "hunter2" not in errors


async def test_a_host_that_is_not_of_this_machine_is_named(cluster):
    env = {"AUTH_MODE": "guest", "REDIS_URL": cluster.redis_url, "HOST": "192.0.2.1", "PORT": str(free_ports(1))}
    status, _, errors = await asyncio.wait_for(roomgraph("node", **env), 40)
    assert status == 2
    assert "HOST=192.0.2.1" in errors.replace("\n", " ")


async def test_chat_shows_the_answer_to_piped_input(cluster, new_id):
    process = await start("chat", new_id, "--url", cluster.urls[0], "--name", "Ann")
    output, _ = await asyncio.wait_for(process.communicate(b"book a room for a workshop\n"), 40)
    lines = output.decode().splitlines()
    assert any("Ann: book a room for a workshop" in line for line in lines)
    assert "Concierge: When do you need it?" in lines[-1]


async def test_chat_sends_piped_input_line_by_line_so_that_a_line_can_answer_a_question(cluster, new_id):
    process = await start("chat", new_id, "--url", cluster.urls[0], "--name", "Ann")
    piped = b"book a room for a workshop tomorrow at 10 for 6 people\nbook it\nsummary\n"
    output, _ = await asyncio.wait_for(process.communicate(piped), 60)
    told = output.decode()
    assert "Ann answered: approve" in told
    assert "Ann: book it" not in told
    assert told.index("Booked: a workshop") < told.index("Ann: summary") < told.index("Confirmed bookings (1)")


def _type(process: Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")


async def test_chat_shows_a_question_with_its_options_and_answers_it_by_number(cluster, new_client, new_id):
    ann = await new_client("Ann")
    conversation = await ann.create(conversation_id=new_id, access="open")
    process = await start("chat", new_id, "--url", cluster.urls[1], "--name", "Bob")
    await shows(process, "Ctrl-D ends")
    _type(process, "book a room for a workshop tomorrow at 10 for 6 people")
    await shows(process, "Concierge: So that is: a workshop, tomorrow at 10, 6 people. Shall I book it?")
    await shows(process, "1 Book it")
    await shows(process, "2 Not yet")
    _type(process, "1")
    assert "Bob answered: approve · terminal" in await shows(process, "answered")
    await shows(process, "Concierge: Booked: a workshop, tomorrow at 10, 6 people.")
    messages = [entry.text for entry in await conversation.log() if entry.type == "message"]
    assert messages == ["book a room for a workshop tomorrow at 10 for 6 people"]
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_chat_stops_edits_and_regenerates_and_names_its_commands(start_cluster, new_id):
    cluster = await start_cluster(nodes=1, WORD_DELAY="0.3")
    process = await start("chat", new_id, "--url", cluster.urls[0], "--name", "Bob")
    await shows(process, "Ctrl-D ends")
    _type(process, "/regenerate")
    await shows(process, "nothing has been answered yet")
    _type(process, "/nonsense at all")
    await shows(process, "there is no /nonsense; there are /stop, /regenerate, /edit TEXT, /say TEXT")
    async with connect_guest(cluster.urls[0], "Ann") as ann:
        conversation = await ann.join(new_id)
        written: Inbox[Any] = Inbox()
        ann.on("run:written", written)
        _type(process, "hello")
        await written.first(lambda told: any(part["text"] for part in told["parts"]))
        _type(process, "/stop")
        line = await shows(process, "stopped by Bob")
        assert "Concierge: I " in line
        assert "6 people" not in line
        _type(process, "/stop")
        await shows(process, "nothing is being answered")
        _type(process, "/edit book a room")
        await shows(process, "Bob: book a room")
        await shows(process, "Concierge: What is the room for?")
        _type(process, "/regenerate")
        await shows(process, "Concierge: What is the room for?")
        log = [entry for entry in await conversation.log() if entry.type in ("message", "stopped", "answer")]
        assert [entry.type for entry in log] == ["message", "stopped", "message", "answer", "answer"]
        assert (log[2].data["edits"], log[4].data["replaces"]) == (log[0].seq, log[3].seq)


APPROVAL = {
    "text": "Book it?",
    "options": [{"value": "approve", "label": "Book it"}, {"value": "2", "label": "No"}],
}


@pytest.mark.parametrize(
    ("line", "asked", "answer"),
    [
        ("book IT", APPROVAL, "approve"),
        ("approve", APPROVAL, "approve"),
        ("1", APPROVAL, "approve"),
        ("2", APPROVAL, "2"),
        ("3", APPROVAL, None),
        ("tomorrow, please", APPROVAL, None),
        ("tomorrow, please", {**APPROVAL, "free": True}, "tomorrow, please"),
        ("7", {"options": [3, 7]}, 7),
        ("tomorrow", "When?", "tomorrow"),
    ],
)
def test_a_line_answers_a_question_by_value_label_or_number(line, asked, answer):
    expected = None if answer is None else Answer(answer)
    assert read_line(line, form_of(asked), [], chat_texts()) == expected


@pytest.mark.faults
async def test_a_taken_or_claimed_port_and_a_left_over_process_are_named_with_what_to_do(tmp_path):
    port = free_ports(3)
    arguments = ("up", "--port", str(port), "--data-dir", str(tmp_path), "--lang", "en")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 1))
        taken.listen()
        status, output, _ = await roomgraph(*arguments)
    assert status == 1
    assert f"port {port + 1}" in output.replace("\n", " ")
    assert "--port" in output
    starting = LocalCluster(port, 1, tmp_path / "other")
    starting.claim()  # as another start does that has got no further yet
    status, output, _ = await roomgraph(*arguments)
    await starting.stop()
    assert status == 1
    assert f"another start of Roomgraph has claimed port {port}" in output.replace("\n", " ")
    process = await start(*arguments)
    await shows(process, "ready", 60)
    status, output, _ = await roomgraph(*arguments)
    assert status == 1
    assert "kill " in output
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 30) == 0


@pytest.mark.faults
async def test_nodes_and_redis_end_with_the_command_however_it_ends(tmp_path):
    port = free_ports(1)
    process = await start("up", "--port", str(port), "--nodes", "1", "--data-dir", str(tmp_path), "--lang", "en")
    await shows(process, "ready", 60)
    pids = json.loads((tmp_path / "processes.json").read_text()).values()
    process.kill()
    await process.wait()
    await poll(lambda: not any(_lives(pid) for pid in pids), "the end of its processes")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_chat_sends_what_is_typed_and_shows_what_others_say(cluster, new_client, new_id):
    ann = await new_client("Ann")
    conversation = await ann.create("Lobby", conversation_id=new_id, access="open", agent="off")
    process = await start("chat", new_id, "--url", cluster.urls[1], "--name", "Bob")
    assert process.stdin is not None
    process.stdin.write(b"hello from the terminal\n")
    await first_of(conversation.entries(), lambda entry: entry.text == "hello from the terminal")
    await conversation.send("hello [bold]Bob[/]")
    await shows(process, "Ann: hello [bold]Bob[/]")
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_chat_ends_and_says_why_when_its_device_is_signed_out_elsewhere(cluster, new_client, new_id):
    ann = await new_client("Ann", device_name="Laptop")
    process = await start("chat", new_id, "--url", cluster.urls[1], "--token", ann.token)
    assert process.stdout is not None
    assert process.stderr is not None
    await asyncio.wait_for(process.stdout.readline(), 20)
    (terminal,) = [device for device in await ann.devices() if device.device_name == "terminal"]
    assert await ann.sign_out_device(terminal.device_id) == 1
    assert await asyncio.wait_for(process.wait(), 5) == 1, "its input is still open"
    assert "this device was signed out on Laptop" in (await process.stderr.read()).decode()


async def test_the_echo_bot_repeats_what_people_say(cluster, new_client, new_id):
    ann = await new_client("Ann")
    conversation = await ann.create(conversation_id=new_id, access="open", agent="off")
    process = await start("echo-bot", new_id, "--url", cluster.urls[2])
    try:
        await first_of(conversation.entries(), lambda entry: entry.type == "member_joined")
        await conversation.send("is there an echo?")
        await first_of(conversation.entries(), lambda entry: entry.text == "echo: is there an echo?")
    finally:
        # Not SIGINT, which a shell's background jobs, and so their children, ignore.
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)


async def _is_ready(http: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with http.get(f"http://127.0.0.1:{port}/ready") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def test_the_procfile_runs_nodes_and_redis(tmp_path):
    # Beside each other on ports of their own, as `honcho start -c web=3,redis=1 -p 9000` does on 9000.
    port = free_ports(2)
    redis_url = f"redis://127.0.0.1:{port + 379}/0"
    procfile = (
        (ROOT / "Procfile")
        .read_text()
        .replace("redis: roomgraph redis", f"redis: roomgraph redis --data-dir {tmp_path}")
    )
    (tmp_path / "Procfile").write_text(procfile.replace("roomgraph", f"{sys.executable} -m roomgraph"))
    (tmp_path / ".env").write_text((ROOT / ".env").read_text() + f"REDIS_URL={redis_url}\n")
    program = (sys.executable, "-m", "honcho", "-f", str(tmp_path / "Procfile"), "-e", str(tmp_path / ".env"))
    process = await start("start", "-c", "web=2,redis=1", "-p", str(port), program=program)
    try:
        async with aiohttp.ClientSession() as http:
            for number in (port, port + 1):
                await poll(partial(_is_ready, http, number), f"readiness on port {number}", 60)
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)

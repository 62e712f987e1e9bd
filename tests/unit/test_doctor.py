"""The doctor says what of a Redis, of settings and of a proxy must be changed, and nothing of what is well."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from roomgraph.doctor.examine import examine
from roomgraph.doctor.findings import Fact, Finding, Level, is_well
from roomgraph.doctor.proxy_checks import check_url
from roomgraph.doctor.redis_checks import judge_redis
from roomgraph.doctor.redis_facts import RedisFacts
from roomgraph.doctor.service_checks import check_services
from roomgraph.doctor.settings_checks import check_identity, judge_settings
from roomgraph.doctor.topology_checks import judge_cluster, judge_sentinels
from roomgraph.doctor.topology_facts import ClusterFacts, SentinelFacts
from sio_server.files.store import MARK
from sio_server.language import LANGUAGES, load_texts
from sio_server.protocol.errors import Unavailable
from sio_server.settings import Settings, load_settings

SECRET = "k9-" + "f00d" * 10
INFO = {
    "redis_version": "8.2.3",
    "role": "master",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "maxmemory": 1 << 30,
    "used_memory": 1 << 20,
    "maxmemory_policy": "noeviction",
    "connected_slaves": 2,
}
CONFIG = {"appendfsync": "always", "client-output-buffer-limit": "normal 0 0 0 pubsub 67108864 16777216 60"}


def facts(info: dict[str, Any] | None = None, config: dict[str, str] | None = None, **changed: Any) -> RedisFacts:
    known: dict[str, Any] = {
        "info": {**INFO, **(info or {})},
        "config": {**CONFIG, **(config or {})},
        "round_trip_ms": 0.2,
        "clock_ahead_s": 0.01,
        "modules": frozenset({"rejson", "search"}),
    }
    return RedisFacts(**{**known, **changed})


def told(findings: list[Finding]) -> set[tuple[str, str]]:
    """What is not well."""
    return {(finding.fact, finding.level) for finding in findings if finding.level != Level.GOOD}


@pytest.mark.parametrize("checkpointer", ["plain", "redis"])
def test_of_a_redis_that_is_as_it_should_be_nothing_must_be_changed(checkpointer: str) -> None:
    findings = judge_redis(facts(), checkpointer=checkpointer)
    assert told(findings) == set()
    assert Fact.REDIS_WRITES in {finding.fact for finding in findings}


@pytest.mark.parametrize(
    ("changed", "fact", "level"),
    [
        ({"info": {"redis_version": "6.0.16"}}, "redis_old", "bad"),
        ({"info": {"loading": 1}}, "redis_loading", "warn"),
        ({"info": {"role": "slave"}}, "redis_is_replica", "bad"),
        ({"info": {"cluster_enabled": 1}}, "redis_is_cluster", "bad"),
        ({"info": {"aof_enabled": 0}}, "redis_no_file", "bad"),
        ({"info": {"aof_last_write_status": "err"}}, "redis_file_fails", "bad"),
        ({"config": {"appendfsync": "everysec"}}, "redis_syncs_late", "warn"),
        ({"info": {"maxmemory_policy": "allkeys-lru"}}, "redis_evicts", "bad"),
        ({"info": {"used_memory": 1 << 30}}, "redis_nearly_full", "warn"),
        ({"info": {"maxmemory": 0}}, "redis_no_limit", "warn"),
        ({"info": {"connected_slaves": 0}}, "redis_no_replica", "warn"),
        ({"modules": frozenset()}, "redis_no_modules", "bad"),
        ({"config": {"client-output-buffer-limit": "pubsub 1048576 1 60"}}, "redis_buffer_small", "warn"),
        ({"round_trip_ms": 40.0}, "redis_slow", "warn"),
        ({"clock_ahead_s": -5.0}, "clock_wrong", "warn"),
        ({"clock_ahead_s": 90.0}, "clock_wrong", "bad"),
    ],
)
def test_each_thing_that_is_wrong_with_a_redis_is_told_alone(
    changed: dict[str, Any], fact: str, level: str
) -> None:
    assert told(judge_redis(facts(**changed), checkpointer="redis")) == {(fact, level)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_of_a_server_of_a_cluster_it_is_told_how_the_cluster_is_named(language: str) -> None:
    assert "redis+cluster://" in load_texts(language, "roomgraph", "doctor")(Fact.REDIS_IS_CLUSTER)


def test_fewer_replicas_than_an_ack_waits_for_are_bad() -> None:
    assert told(judge_redis(facts(), checkpointer="plain", durable=2)) == set()
    assert told(judge_redis(facts(), checkpointer="plain", durable=3)) == {("replicas_too_few", "bad")}


SENTINEL: dict[str, Any] = {
    "primary": "10.0.0.1:6379",
    "sentinels": 3,
    "quorum": 2,
    "replicas": 2,
    "down_after_ms": 1000,
}


@pytest.mark.parametrize(
    ("changed", "fact", "level"),
    [
        ({"problem": "no answer"}, "sentinel_silent", "warn"),
        ({"primary": "10.0.0.2:6379"}, "sentinels_disagree", "bad"),
        ({"sentinels": 4}, "sentinels_not_named", "warn"),
        ({"quorum": 4}, "sentinel_quorum", "bad"),
        ({"down_after_ms": 30_000}, "sentinel_late", "warn"),
    ],
)
def test_each_thing_that_is_wrong_with_sentinels_is_told_alone(
    changed: dict[str, Any], fact: str, level: str
) -> None:
    three: list[dict[str, Any]] = [{"server": f"s{n}", **SENTINEL} for n in range(3)]
    assert told([*judge_sentinels([SentinelFacts(**one) for one in three])]) == set()
    three[1] |= changed
    assert told([*judge_sentinels([SentinelFacts(**one) for one in three])]) == {(fact, level)}


def test_a_majority_of_sentinels_that_is_silent_is_bad() -> None:
    silent = [SentinelFacts(f"s{number}", "no answer") for number in range(2)]
    assert told([*judge_sentinels([SentinelFacts("s2", **SENTINEL), *silent])]) == {("sentinel_silent", "bad")}


@pytest.mark.parametrize(
    ("changed", "fact", "level"),
    [
        ({"uncovered": 1}, "cluster_not_covered", "bad"),
        ({"state": "fail"}, "cluster_not_covered", "bad"),
        ({"replicas": {"a:1": 1, "b:1": 0}}, "replicas_too_few", "bad"),
        ({"timeout_ms": 15_000}, "cluster_late", "warn"),
        ({"full_coverage": True}, "cluster_all_or_nothing", "warn"),
    ],
)
def test_each_thing_that_is_wrong_with_a_cluster_is_told_alone(
    changed: dict[str, Any], fact: str, level: str
) -> None:
    good: dict[str, Any] = {"state": "ok", "uncovered": 0, "replicas": {"a:1": 1, "b:1": 2}, "timeout_ms": 2000}
    assert told([*judge_cluster(ClusterFacts(**good), durable=1)]) == set()
    assert told([*judge_cluster(ClusterFacts(**good | changed), durable=1)]) == {(fact, level)}


def test_what_a_user_may_not_ask_is_unknown_and_not_bad() -> None:
    restricted = judge_redis(RedisFacts(None, {}, 0.2, 0.0, None), checkpointer="redis")
    assert told(restricted) == {("redis_no_rights", "unknown")}
    assert is_well(restricted)
    no_config = RedisFacts(INFO, {}, 0.2, 0.0, frozenset())
    assert told(judge_redis(no_config, checkpointer="plain")) == {("redis_sync_unknown", "unknown")}


def settings(**chosen: Any) -> Settings:
    return load_settings(**{"auth_mode": "token", "auth_secret": SECRET, "files_url": "", **chosen})


@pytest.mark.parametrize(
    ("chosen", "files", "fact", "level"),
    [
        ({"auth_mode": "guest"}, 65_536, "guests", "warn"),
        ({"allowed_origins": "*"}, 65_536, "any_origin", "warn"),
        ({"allowed_origins": "*", "authenticate": "json:loads"}, 65_536, "any_origin", "bad"),
        ({"auth_jwks_url": "https://login.example.com/keys"}, 65_536, "no_issuer", "warn"),
        ({}, 1024, "files_few", "warn"),
    ],
)
def test_settings_that_are_accepted_and_dangerous_are_named(
    chosen: dict[str, Any], files: int, fact: str, level: str
) -> None:
    assert told(list(judge_settings(settings(**chosen), files))) == {(fact, level)}
    assert told(list(judge_settings(settings(), 65_536))) == set()


async def test_keys_and_a_function_that_are_not_there_are_bad() -> None:
    wrong = settings(auth_jwks_url="http://127.0.0.1:1/keys", authenticate="no_such_module:check")
    assert told(await check_identity(wrong)) == {("keys_bad", "bad"), ("hook_bad", "bad")}
    assert await check_identity(settings(authenticate="json:loads")) == []


async def test_an_archive_is_written_read_and_left_as_it_was(tmp_path: Path) -> None:
    (finding,) = await check_services(settings(archive_url=f"file://{tmp_path}/archive"))
    assert (finding.fact, finding.level) == (Fact.ARCHIVE_GOOD, Level.GOOD)
    assert [one for one in (tmp_path / "archive").rglob("*") if one.is_file()] == []


async def test_an_archive_that_cannot_be_used_is_bad(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    findings = await check_services(settings(archive_url=f"file://{tmp_path}/file/archive"))
    assert told(findings) == {("archive_bad", "bad")}


async def test_a_storage_of_files_is_written_read_and_left_as_it_was(tmp_path: Path) -> None:
    (finding,) = await check_services(settings(files_url=f"{tmp_path}/files", redis_url="redis://127.0.0.1:1/0"))
    assert (finding.fact, finding.level) == (Fact.STORE_GOOD, Level.GOOD)
    assert [one.name for one in (tmp_path / "files").rglob("*") if one.is_file()] == [MARK]
    (tmp_path / "file").write_text("")
    findings = await check_services(settings(files_url=f"{tmp_path}/file/files"))
    assert told(findings) == {("store_bad", "bad")}


async def test_of_what_a_storage_answers_the_first_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def put(self: object, name: str, lines: object) -> None:
        raise Unavailable("the archive does not answer") from OSError(
            "no such bucket: " + "x " * 200 + "\n<Error>"
        )

    monkeypatch.setattr("sio_server.data.archive_store.ArchiveStore.put", put)
    (finding,) = await check_services(settings(archive_url=f"file://{tmp_path}"))
    reason = finding.values["reason"]
    assert reason.startswith("no such bucket: x x")
    assert reason.endswith("x ...")
    assert "Error" not in reason


async def test_wrong_variables_of_opentelemetry_are_named_and_no_password_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hush@127.0.0.1:1")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5000")
    (finding,) = await check_services(settings(traces="otlp"))
    assert finding.fact is Fact.COLLECTOR_BAD
    assert "a variable OTEL_... is wrong: max_export_batch_size" in finding.values["reason"]
    assert finding.values["url"] == "http://***@127.0.0.1:1"


async def test_a_collector_is_tried_and_one_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.path, request.headers["x-key"]))
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/v1/traces", take)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k")
    monkeypatch.setattr("sio_server.trace.exporting.TRY_S", 0.5)
    chosen = settings(traces="otlp")
    assert [finding.fact for finding in await check_services(chosen)] == [Fact.COLLECTOR_GOOD]
    assert got == [("/v1/traces", "k")]
    await runner.cleanup()
    assert told(await check_services(chosen)) == {("collector_silent", "warn")}


async def test_a_setting_that_no_node_accepts_and_a_redis_that_is_away_are_bad(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORT", "web")
    monkeypatch.setenv("AUTH_SECRET", SECRET)
    monkeypatch.setenv("REDIS_URL", "redis://user:secret@127.0.0.1:1/0")
    findings = await examine([])
    assert told(findings) == {("setting_wrong", "bad"), ("redis_unreachable", "bad")}
    assert "secret" not in json.dumps([finding.values for finding in findings])


# Through a proxy

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
READY = {"ready": True, "node": "web-1", "redis": True, "bus": True}


class Front:
    """What stands at an address: a node as it should be, unless told otherwise."""

    def __init__(self) -> None:
        self.health: Answer = lambda request: said({"ok": True, "node": "web-1"})
        self.ready: Answer = lambda request: said(READY)
        self.socket: Answer = echo
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        answers = {"healthz": self.health, "ready": self.ready, "socket.io/": self.socket}
        return await answers[request.match_info["path"]](request)


async def said(body: Any, status: int = 200) -> web.StreamResponse:
    return web.json_response(body, status=status)


async def echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str('0{"sid":"x"}')
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str('44{"data":{"code":"token_missing"}}')
    return socket


async def silence(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.close()
    return socket


def refusing(code: str, status: int = 403, **details: Any) -> Answer:
    return lambda request: said({"ok": False, "error": {"code": code, "details": details}}, status)


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    front = Front()
    application = web.Application()
    application.router.add_get("/chat/{path:.*}", front.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    front.url = f"http://127.0.0.1:{runner.addresses[0][1]}/chat/"
    yield front
    await runner.cleanup()


async def test_an_address_that_is_as_it_should_be_has_nothing_to_change(front: Front) -> None:
    findings = await check_url(front.url)
    assert [finding.fact for finding in findings] == [Fact.URL_NODE, Fact.URL_WEBSOCKET]


@pytest.mark.parametrize(
    ("part", "answer", "fact", "level"),
    [
        ("health", lambda request: said({"hello": "world"}), "url_no_node", "bad"),
        ("health", lambda request: said("<html>", 404), "url_no_node", "bad"),
        ("health", refusing("host_not_allowed"), "url_refuses_host", "bad"),
        ("ready", lambda request: said({**READY, "ready": False, "bus": False}, 503), "url_not_ready", "warn"),
        ("socket", refusing("origin_not_allowed", 400), "url_refuses_origin", "bad"),
        ("socket", refusing("origin_not_allowed", 400, lost_headers=["Host"]), "url_loses_headers", "bad"),
        ("socket", refusing("not_supported", 400), "url_loses_headers", "bad"),
        ("socket", refusing("unavailable", 503), "url_takes_no_clients", "warn"),
        ("socket", lambda request: said("bad gateway", 502), "url_no_websocket", "bad"),
        ("socket", silence, "url_silent", "bad"),
    ],
)
async def test_what_keeps_clients_from_a_node_is_named(
    front: Front, part: str, answer: Answer, fact: str, level: str
) -> None:
    setattr(front, part, answer)
    assert told(await check_url(front.url)) == {(fact, level)}


@pytest.mark.parametrize(
    ("report", "reasons"),
    [
        ({"bus": False, "failing_tasks": ["dialog"]}, "bus, dialog"),
        ({"workers": {"2": "silent", "3": "not ready"}}, "worker 2: silent, worker 3: not ready"),
        ({"redis": False, "shards_away": ["10.0.0.1:6379"]}, "redis, shard 10.0.0.1:6379"),
        ({"stopping": True}, "it is being stopped"),
    ],
)
async def test_all_that_keeps_a_node_from_being_ready_is_named(
    front: Front, report: dict[str, Any], reasons: str
) -> None:
    front.ready = lambda request: said({**READY, "ready": False, **report}, 503)
    (finding,) = [one for one in await check_url(front.url) if one.fact is Fact.URL_NOT_READY]
    assert finding.values["reasons"] == reasons


async def test_an_address_at_which_nothing_answers_is_bad() -> None:
    assert told(await check_url("http://127.0.0.1:1")) == {("url_unreachable", "bad")}

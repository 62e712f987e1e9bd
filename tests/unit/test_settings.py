"""A node starts with sensible settings, and a wrong one is named together with what to write instead."""

import os
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sio_server.protocol.webhook_type import WebhookType
from sio_server.settings import (
    Settings,
    SettingsError,
    check_redis_url,
    hide_password,
    load_settings,
)
from sio_server.store.topology import new_connection

SECRET = "k9-" + "f00d" * 10
SIGNS = "c2lnbnMgdGhlIHdlYmhvb2tzIG9mIHRoZXNlIHRlc3Rz"  # in base64


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment for guests that holds no other setting."""
    names = {name.upper() for name in Settings.model_fields}
    for name in [name for name in os.environ if name.upper() in names]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUTH_MODE", "guest")
    return monkeypatch


def problems() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value).splitlines()


def test_for_guests_nothing_else_need_be_set(env: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    assert settings.redis_url == "redis://127.0.0.1:9379/0"
    assert (settings.host, settings.port, settings.name) == ("0.0.0.0", 9000, "9000")
    assert (settings.auth_secret, settings.auth_audience, settings.token_ttl) == ("", "roomgraph", 86_400)
    assert settings.allowed_origins == ()
    assert (settings.run_concurrency, settings.run_timeout, settings.log_retention) == (16, 300, 0)
    assert (settings.log_level, settings.word_delay) == ("warning", 0.02)


def test_tokens_are_the_default_and_need_a_secret(env: pytest.MonkeyPatch) -> None:
    env.delenv("AUTH_MODE")
    (line,) = problems()
    assert line.startswith("AUTH_SECRET is not set")
    assert "secrets.token_hex(32)" in line
    env.setenv("AUTH_SECRET", SECRET)
    assert load_settings().auth_mode == "token"


@pytest.mark.parametrize(
    ("name", "value"), [("AUTH_JWKS_URL", "https://login.example.com/keys"), ("AUTHENTICATE", "app:check")]
)
def test_no_secret_is_needed_where_something_else_says_whose_a_token_is(
    env: pytest.MonkeyPatch, name: str, value: str
) -> None:
    env.setenv("AUTH_MODE", "token")
    env.setenv(name, value)
    assert load_settings().auth_secrets == ()
    env.setenv("PORT", "web")
    assert [line.split("=")[0] for line in problems()] == ["PORT"]


def test_several_secrets_are_accepted_and_each_of_them_must_be_long(env: pytest.MonkeyPatch) -> None:
    env.setenv("AUTH_SECRET", f" {SECRET}, {SECRET[::-1]},")
    assert load_settings().auth_secrets == (SECRET, SECRET[::-1])
    env.setenv("AUTH_SECRET", f"{SECRET},tr0ub4dor")
    (line,) = problems()
    assert line.startswith("one of AUTH_SECRET is too short")
    assert "tr0ub4dor" not in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("AUTH_JWKS_URL", value) for value in ("login.example.com/keys", "file:///etc/keys", "https://a:b@c/d")),
        *(("AUTHENTICATE", value) for value in ("check", "app:", ":check", "app/check.py:check", "app:check()")),
        *(("OPERATOR_CLAIM", value) for value in ("", "role", "=admin", "role=")),
        ("AUTH_ISSUER", "two words"),
    ],
)
def test_a_wrong_setting_of_tokens_is_named(env: pytest.MonkeyPatch, name: str, value: str) -> None:
    env.setenv(name, value)
    (line,) = problems()
    assert f"{name}: write " in line


@pytest.mark.parametrize("account", ["on", "ops", "ops:short", ":no-user-but-a-password"])
def test_the_admin_ui_needs_an_account_that_nobody_can_guess(env: pytest.MonkeyPatch, account: str) -> None:
    env.setenv("ADMIN_UI", account)
    (line,) = problems()
    assert "user:password" in line
    assert "short" not in line
    env.setenv("ADMIN_UI", "off")
    assert load_settings().admin_ui == ""


def test_each_setting_is_read_from_the_variable_of_its_name(env: pytest.MonkeyPatch) -> None:
    for name, value in {
        "REDIS_URL": "unix:///run/redis.sock",
        "DURABLE_REPLICAS": "2",
        "HOST": "::1",
        "PORT": "65535",
        "NODE_NAME": "web-1",
        "AUTH_MODE": "token",
        "AUTH_SECRET": SECRET,
        "AUTH_AUDIENCE": "chat",
        "TOKEN_TTL": "60",
        "ALLOWED_ORIGINS": " https://a.example , https://b.example,",
        "ALLOWED_HOSTS": "chat.example, .b.example",
        "WEB_CONCURRENCY": "4",
        "WORKER_PORTS": "9100",
        "BASE_PATH": "/team/chat/",
        "NODE_URLS": "http://127.0.0.1:9000/team/chat, https://b.example/team/chat/",
        "PUBLIC_URL": "https://chat.example/team/chat/",
        "VAPID_PRIVATE_KEY": "k" * 43,
        "VAPID_SUBJECT": "mailto:admin@example.com",
        "PUSH_PRIVATE": "on",
        "METRICS_TOKEN": "the-token-of-prometheus_0",
        "MAX_HTTP_CONNECTIONS": "300",
        "MAX_CONNECTIONS": "500",
        "TRANSPORT": "stock",
        "JOIN_WRITES": "2",
        "RATE_LIMIT_USER": "off",
        "RATE_LIMIT_MARKS": "9/second",
        "RATE_LIMIT_EVENTS": "5/second; 100 / minute;1000/hour",
        "RATE_LIMIT_FILES": "3/hour",
        "RATE_LIMIT_ADDRESS": "1/hour",
        "RATE_LIMIT_SERVICE": "2/hour",
        "WEBHOOKS": "shop=https://shop.example.com/hooks#run.ended+question.asked, all=http://10.0.0.1:8080/",
        "WEBHOOK_SECRETS": f"shop=whsec_{SIGNS},shop=whsec_{SIGNS},all=whsec_{SIGNS}",
        "SERVICE_KEYS": "billing:the-key-of-billing-in-these-tests, ",
        "TRUSTED_PROXIES": "2",
        "CONNECTIONS_PER_USER": "3",
        "CONNECTIONS_PER_ADDRESS": "0",
        "CONVERSATIONS_PER_SESSION": "7",
        "QUOTA_CONVERSATIONS": "10",
        "QUOTA_BYTES": "0",
        "QUOTA_INVITATIONS": "5",
        "INVITATIONS_KEPT": "1",
        "FILES_URL": "s3://bucket/files",
        "FILES_MAX_BYTES": "4096",
        "ABANDONED_KEPT": "0",
        "GUESTS_KEPT": "2",
        "GUEST_REMEMBERED": "0",
        "RUN_CONCURRENCY": "0",
        "RUN_TIMEOUT": "1",
        "MAX_ANSWER_BYTES": "65536",
        "BOT_TURNS": "0",
        "RUN_ATTEMPTS": "1",
        "REPORT_NODES": "full",
        "RECURSION_LIMIT": "25",
        "LEASE": "1.5",
        "DRAIN_GRACE": "0.5",
        "GRAPH": "my.app:graph",
        "GRAPH_INPUT": "question",
        "GRAPH_OUTPUT": ".",
        "AUTH_JWKS_URL": "https://login.example.com/keys?v=1",
        "AUTH_ISSUER": "https://login.example.com/",
        "AUTHENTICATE": "my.app:check.token",
        "OPERATOR_CLAIM": "https://example.com/roles = admin",
        "CLAIMS": "tenant, role,",
        "LANGGRAPH_JSON": "/srv/langgraph.json",
        "MODEL": "openai:gpt-4o-mini",
        "MODEL_TIMEOUT": "5",
        "AGENT_TITLES": "off",
        "MODEL_TITLES": "on",
        "CHECKPOINTER": "redis",
        "CHECKPOINTS_KEPT": "2",
        "LOG_RETENTION": "100",
        "LOG_RETENTION_DAYS": "365",
        "REQUESTS_KEPT": "7",
        "SEARCH": "off",
        "PRESENCE_GRACE": "0.5",
        "ARCHIVE_URL": "s3://bucket/a/b",
        "LOG_FORMAT": "json",
        "TRACES": "otlp",
        "ADMIN_UI": "off",
        "LOG_LEVEL": "debug",
        "WORD_DELAY": "0",
        "STAGE_KEY": "the-key-of-a-stage_0",
        "STAGE_CONTROL": "http://127.0.0.1:9100",
    }.items():
        env.setenv(name, value)
    assert load_settings().model_dump() == {
        "redis_url": "unix:///run/redis.sock",
        "durable_replicas": 2,
        "host": "::1",
        "port": 65535,
        "node_name": "web-1",
        "auth_mode": "token",
        "auth_secret": SECRET,
        "auth_jwks_url": "https://login.example.com/keys?v=1",
        "auth_issuer": "https://login.example.com/",
        "authenticate": "my.app:check.token",
        "operator_claim": ("https://example.com/roles", "admin"),
        "auth_audience": "chat",
        "token_ttl": 60,
        "allowed_origins": ("https://a.example", "https://b.example"),
        "allowed_hosts": ("chat.example", ".b.example"),
        "graph_input": "question",
        "graph_output": ".",
        "claims": ("tenant", "role"),
        "web_concurrency": 4,
        "worker_ports": 9100,
        "base_path": "/team/chat",
        "node_urls": ("http://127.0.0.1:9000/team/chat", "https://b.example/team/chat"),
        "public_url": "https://chat.example/team/chat",
        "vapid_private_key": "k" * 43,
        "vapid_subject": "mailto:admin@example.com",
        "push_private": "on",
        "metrics_token": "the-token-of-prometheus_0",
        "max_http_connections": 300,
        "max_connections": 500,
        "transport": "stock",
        "join_writes": 2.0,
        "rate_limit_user": "off",
        "rate_limit_marks": "9/second",
        "rate_limit_events": "5/second; 100 / minute;1000/hour",
        "rate_limit_files": "3/hour",
        "rate_limit_address": "1/hour",
        "rate_limit_service": "2/hour",
        "webhooks": ("shop=https://shop.example.com/hooks#run.ended+question.asked", "all=http://10.0.0.1:8080/"),
        "webhook_secrets": (f"shop=whsec_{SIGNS}", f"shop=whsec_{SIGNS}", f"all=whsec_{SIGNS}"),
        "service_keys": ("billing:the-key-of-billing-in-these-tests",),
        "trusted_proxies": 2,
        "connections_per_user": 3,
        "connections_per_address": 0,
        "conversations_per_session": 7,
        "quota_conversations": 10,
        "quota_bytes": 0,
        "quota_invitations": 5,
        "invitations_kept": 1,
        "files_url": "s3://bucket/files",
        "files_max_bytes": 4096,
        "abandoned_kept": 0,
        "guests_kept": 2,
        "guest_remembered": 0,
        "run_concurrency": 0,
        "run_timeout": 1,
        "max_answer_bytes": 65536,
        "bot_turns": 0,
        "run_attempts": 1,
        "report_nodes": "full",
        "recursion_limit": 25,
        "lease": 1.5,
        "drain_grace": 0.5,
        "graph": "my.app:graph",
        "langgraph_json": "/srv/langgraph.json",
        "model": "openai:gpt-4o-mini",
        "model_timeout": 5.0,
        "agent_titles": "off",
        "model_titles": "on",
        "checkpointer": "redis",
        "checkpoints_kept": 2,
        "log_retention": 100,
        "log_retention_days": 365,
        "requests_kept": 7,
        "search": "off",
        "presence_grace": 0.5,
        "archive_url": "s3://bucket/a/b",
        "log_format": "json",
        "traces": "otlp",
        "admin_ui": "",
        "log_level": "debug",
        "word_delay": 0.0,
        "stage_key": "the-key-of-a-stage_0",
        "stage_control": "http://127.0.0.1:9100",
    }


def test_clients_are_told_what_this_server_can_do(env: pytest.MonkeyPatch) -> None:
    assert load_settings(auth_mode="token", auth_secret=SECRET).features == ["device_links", "search"]
    assert load_settings(auth_mode="token", auth_secret=SECRET, search="off").features == ["device_links"]
    for name, value in {"AUTH_MODE": "guest", "STAGE_KEY": "the-key-of-a-stage_0", "REPORT_NODES": "full"}.items():
        env.setenv(name, value)
    assert load_settings().features == ["guests", "device_links", "search", "stage", "state_reports"]


def test_a_node_is_called_by_its_name_when_it_has_one(env: pytest.MonkeyPatch) -> None:
    env.setenv("NODE_NAME", "web-1")
    assert load_settings().name == "web-1"


def test_what_is_given_in_code_comes_before_the_environment_unless_it_is_none(env: pytest.MonkeyPatch) -> None:
    env.setenv("PORT", "9100")
    env.setenv("HOST", "10.0.0.1")
    settings = load_settings(port=9200, host=None)
    assert (settings.port, settings.host) == (9200, "10.0.0.1")


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("RATE_LIMIT_USER", "20", "such as 20/second;600/minute"),
        ("RATE_LIMIT_USER", "0/second", "write off, or how many"),
        ("RATE_LIMIT_MARKS", "0/minute", "write off"),
        ("RATE_LIMIT_EVENTS", "20/second;", "in a second, minute or hour"),
        ("RATE_LIMIT_ADDRESS", "20/day", "write off"),
        ("RATE_LIMIT_SERVICE", "20/day", "write off"),
        ("REPORT_NODES", "yes", "write off (members see none"),
        ("TRUSTED_PROXIES", "11", "how many proxies of yours"),
        ("CONNECTIONS_PER_USER", "-1", "0 (no limit)"),
        ("CONNECTIONS_PER_ADDRESS", "many", "on a node"),
        ("CONVERSATIONS_PER_SESSION", "-1", "a session may follow"),
        ("QUOTA_CONVERSATIONS", "-1", "in how many conversations"),
        ("QUOTA_BYTES", "100 MB", "or 0 (no limit)"),
        ("QUOTA_INVITATIONS", "many", "0 (no limit)"),
        ("INVITATIONS_KEPT", "0", "from 1 to 3650"),
        ("FILES_URL", "ftp://files.example.com", "a folder such as"),
        ("FILES_MAX_BYTES", "1", "from 1024"),
        ("ABANDONED_KEPT", "-1", "0 (for ever)"),
        ("GUESTS_KEPT", "4000", "0 (for ever)"),
        ("GUEST_REMEMBERED", "-1", "0 (not at all)"),
        ("DURABLE_REPLICAS", "-1", "from 0 (none is waited for) to 10"),
        ("REDIS_URL", "localhost:6379", "redis://127.0.0.1:6379/0"),
        ("REDIS_URL", "http://localhost", "rediss://"),
        ("REDIS_URL", "http://localhost", "redis+cluster://host:6379,host:6379"),
        ("REDIS_URL", "redis://a:1,b:2", "several servers are named: for Redis Sentinel write redis+sentinel://"),
        ("REDIS_URL", "redis+sentinel://a:26379,b:26379", "the name of the service"),
        ("REDIS_URL", "redis+cluster://a:7000/3", "a Redis Cluster has no databases but 0"),
        ("REDIS_URL", "redis://a:70000", "the port or an option is wrong"),
        ("REDIS_URL", "redis://a:1/main", "the database is not a number"),
        ("REDIS_URL", "unix://", "the path of the socket is missing"),
        ("ALLOWED_ORIGINS", "a.example", "such as https://chat.example.com"),
        ("ALLOWED_ORIGINS", "https://a.example,https://a.example/chat", "https://a.example/chat is not an origin"),
        ("ALLOWED_ORIGINS", "https://*.a.example", "is not an origin"),
        ("HOST", "", "such as 127.0.0.1 or 0.0.0.0"),
        ("HOST", " ", "such as 127.0.0.1 or 0.0.0.0"),
        ("ALLOWED_HOSTS", "https://a.example", "without port"),
        ("ALLOWED_HOSTS", "a.example:9000", "without port"),
        ("ALLOWED_HOSTS", "*.a.example", "or .example.com for all names"),
        ("MAX_HTTP_CONNECTIONS", "7", "from 8 to 100000"),
        ("NODE_URLS", "a.example", "https://a.example.com"),
        ("CLAIMS", "tenant,identity", "such as tenant,role"),
        ("NODE_URLS", "https://a.example/chat?x=1", "https://a.example.com"),
        ("NODE_URLS", "https://a.example/chat/../b", "https://a.example.com"),
        ("BASE_PATH", "chat", "such as /chat"),
        ("BASE_PATH", "/chat//b", "such as /chat"),
        ("BASE_PATH", "/chat/..", "such as /chat"),
        ("BASE_PATH", "/a b", "such as /chat"),
        ("BASE_PATH", "/chat?x", "such as /chat"),
        ("BASE_PATH", "https://a.example/chat", "such as /chat"),
        ("NODE_URLS", "https://a.example; script-src *", "https://a.example.com"),
        ("PUBLIC_URL", "chat.example", "such as https://chat.example.com"),
        ("PUBLIC_URL", "https://chat.example/?x", "such as https://chat.example.com"),
        ("PUBLIC_URL", 'https://chat.example/"><b>', "such as https://chat.example.com"),
        ("PORT", "0", "a number from 1 to 65535"),
        ("PORT", "65536", "a number from 1 to 65535"),
        ("PORT", "web", "a number from 1 to 65535"),
        ("PORT", "", "a number from 1 to 65535"),
        ("NODE_NAME", "web 1", "a short name"),
        ("NODE_NAME", "x" * 65, "a short name"),
        ("AUTH_MODE", "open", "token (you issue the tokens) or guest"),
        ("AUTH_AUDIENCE", "", "the audience (aud)"),
        ("TOKEN_TTL", "59", "from 60 to 31536000"),
        ("TOKEN_TTL", "31536001", "from 60 to 31536000"),
        ("MAX_CONNECTIONS", "0", "from 1 to 1000000"),
        ("TRANSPORT", "polling", "write direct, or stock"),
        ("JOIN_WRITES", "21", "from 0 (not at all) to 20"),
        ("RUN_CONCURRENCY", "-1", "from 0 (none) to 1000"),
        ("RUN_CONCURRENCY", "1001", "from 0 (none) to 1000"),
        ("MAX_ANSWER_BYTES", "0", "from 65536 to 67108864"),
        ("RUN_TIMEOUT", "0", "from 1 to 86400"),
        ("RUN_TIMEOUT", "86401", "from 1 to 86400"),
        ("LOG_RETENTION", "99", "0 for all of them, or at least 100"),
        ("LOG_RETENTION", "-1", "0 for all of them, or at least 100"),
        ("LOG_LEVEL", "WARN", "debug, info, warning, error"),
        ("WORD_DELAY", "2", "from 0 to 1"),
        ("WORD_DELAY", "nan", "from 0 to 1"),
        ("STAGE_CONTROL", "127.0.0.1:9100", "http://127.0.0.1:9100"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_to_write_instead(
    env: pytest.MonkeyPatch, name: str, value: str, advice: str
) -> None:
    env.setenv(name, value)
    (line,) = problems()
    assert line.startswith(f"{name}={value}: ")
    assert f"{name}: write " in line
    assert advice in line


@pytest.mark.parametrize(
    "value", ["whsec_0123", "shop=0123456789", "shop=whsec_tooshort", f"shop=whsec_{'x' * 33}"]
)
def test_a_wrong_secret_of_a_webhook_is_not_shown(env: pytest.MonkeyPatch, value: str) -> None:
    env.setenv("WEBHOOK_SECRETS", value)
    (line,) = problems()
    assert line.startswith("secret 1 is not of the form name=whsec_.... WEBHOOK_SECRETS: write name=whsec_")
    assert value not in line


@pytest.mark.parametrize("wanted", [*WebhookType, "+".join(WebhookType)])
def test_an_endpoint_may_want_each_type_that_there_is(env: pytest.MonkeyPatch, wanted: str) -> None:
    env.setenv("WEBHOOKS", f"shop=https://shop.example.com/hooks#{wanted}")
    env.setenv("WEBHOOK_SECRETS", f"shop=whsec_{SIGNS}")
    assert load_settings().webhooks == (f"shop=https://shop.example.com/hooks#{wanted}",)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            "shop=https://a.example/hush,shop=https://b.example/hush",
            "shop=***,shop=***: two endpoints have the same name",
        ),
        ("https://a.example/hush", "***: endpoint 1 is not of the form name=https://..."),
        ("a=https://a.example,b=ftp://b.example/hush", "a=***,b=***: endpoint 2 is not of the form"),
        ("shop=https://user:hush@a.example/", "shop=***: endpoint 1 is not of the form"),
        ("shop=https://a.example/hush#run.began", "shop=***: endpoint 1 is not of the form"),
    ],
)
def test_of_wrong_endpoints_only_the_names_are_shown(env: pytest.MonkeyPatch, value: str, shown: str) -> None:
    env.setenv("WEBHOOKS", value)
    line = problems()[0]
    assert line.startswith(f"WEBHOOKS={shown}")
    assert "WEBHOOKS: write name=https://... for each endpoint" in line
    assert "hush" not in line


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("https://chat.example.com/", "https://chat.example.com"),
        ("HTTPS://Chat.Example.com:8443", "https://chat.example.com:8443"),
        ("https://chat.example.com:443", "https://chat.example.com"),
        ("http://[::1]:80/", "http://[::1]"),
        ("http://chat.example.com:443", "http://chat.example.com:443"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("*", "*"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(env: pytest.MonkeyPatch, value: str, origin: str) -> None:
    env.setenv("ALLOWED_ORIGINS", value)
    assert load_settings().allowed_origins == (origin,)


@pytest.mark.parametrize(("first", "port"), [(9000, 9000), (9000, 9001), (8999, 9000)])
def test_the_ports_of_workers_leave_out_the_one_that_they_share(
    env: pytest.MonkeyPatch, first: int, port: int
) -> None:
    env.setenv("WORKER_PORTS", str(first))
    env.setenv("PORT", str(port))
    assert load_settings().worker_ports == first, "one process uses none of them"
    env.setenv("WEB_CONCURRENCY", "2")
    (line,) = problems()
    assert f"2 workers use {first} to {first + 1}, and PORT={port} is among them. WORKER_PORTS: write" in line
    env.setenv("WORKER_PORTS", str(port + 1))
    assert load_settings().worker_ports == port + 1


def test_a_name_is_refused_that_is_too_long_with_the_numbers_of_workers(env: pytest.MonkeyPatch) -> None:
    env.setenv("NODE_NAME", "x" * 62)
    env.setenv("WEB_CONCURRENCY", "9")
    assert load_settings().name == "x" * 62
    env.setenv("WEB_CONCURRENCY", "10")
    (line,) = problems()
    assert "too long for workers, to whose names .1 to .10 is added. NODE_NAME: write a short name" in line


def test_an_endpoint_without_a_secret_is_named(env: pytest.MonkeyPatch) -> None:
    env.setenv("WEBHOOKS", "shop=https://shop.example.com/hooks")
    (line,) = problems()
    assert line.startswith("the endpoint shop has no secret. WEBHOOK_SECRETS: write")


@pytest.mark.parametrize("value", ["the-key-of-billing-in-these-tests", "a:short-but-secret", "a:sha256.0123abc"])
def test_a_wrong_service_key_is_not_shown(env: pytest.MonkeyPatch, value: str) -> None:
    env.setenv("SERVICE_KEYS", f"shop:{'x' * 32},{value}")
    (line,) = problems()
    assert line.startswith("key 2 is not of the form name:key, or too short. SERVICE_KEYS: write name:key")
    assert value.rpartition(":")[2] not in line


def test_several_wrong_settings_give_a_line_each(env: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "web", "LOG_LEVEL": "loud", "REDIS_URL": "nowhere"}.items():
        env.setenv(name, value)
    assert {line.split("=")[0] for line in problems()} == {"PORT", "LOG_LEVEL", "REDIS_URL"}
    assert len(problems()) == 3


@pytest.mark.parametrize("mode", ["token", "guest"])
def test_a_short_secret_is_refused_and_does_not_appear_in_the_message(env: pytest.MonkeyPatch, mode: str) -> None:
    env.setenv("AUTH_MODE", mode)
    env.setenv("AUTH_SECRET", "tr0ub4dor")
    (line,) = problems()
    assert line.startswith("AUTH_SECRET is too short. AUTH_SECRET: write at least 32 characters")
    assert "tr0ub4dor" not in line


@pytest.mark.parametrize(("name", "value"), [("PORT", "web"), ("AUTH_MODE", "open"), ("LOG_RETENTION", "5")])
def test_the_secret_does_not_appear_when_another_setting_is_wrong(
    env: pytest.MonkeyPatch, name: str, value: str
) -> None:
    env.setenv("AUTH_SECRET", SECRET)
    env.setenv(name, value)
    assert SECRET not in "\n".join(problems())


def test_notifications_need_a_subject_and_a_key_that_is_one(env: pytest.MonkeyPatch) -> None:
    env.setenv("AUTH_MODE", "guest")
    env.setenv("VAPID_PRIVATE_KEY", "k" * 43)
    with pytest.raises(SettingsError, match="VAPID_SUBJECT"):
        load_settings()
    env.setenv("VAPID_SUBJECT", "mailto:admin@example.com")
    env.setenv("VAPID_PRIVATE_KEY", "too-short-and-secret")
    with pytest.raises(SettingsError, match="VAPID_PRIVATE_KEY") as refused:
        load_settings()
    assert "too-short-and-secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["METRICS_TOKEN", "STAGE_KEY"])
@pytest.mark.parametrize("key", ["fifteen-letters", "seventeen letters", "sixteen-letters;"])
def test_a_wrong_stage_key_is_named_and_not_shown(env: pytest.MonkeyPatch, name: str, key: str) -> None:
    env.setenv(name, key)
    (line,) = problems()
    assert f"{name}: write at least 16 letters" in line
    assert key not in line


def test_the_secret_does_not_appear_where_settings_are_printed(env: pytest.MonkeyPatch) -> None:
    env.setenv("AUTH_SECRET", SECRET)
    env.setenv("STAGE_KEY", SECRET)
    env.setenv("METRICS_TOKEN", SECRET)
    settings = load_settings()
    assert settings.auth_secret == settings.stage_key == settings.metrics_token == SECRET
    assert SECRET not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("mode", "days", "ttl_s", "kept_s"),
    [("guest", 2, 60, 172_800), ("guest", 2, 600_000, 600_000), ("guest", 0, 60, 0), ("token", 2, 60, 0)],
)
def test_guests_are_forgotten_and_not_before_their_tokens(mode: str, days: int, ttl_s: int, kept_s: int) -> None:
    settings = load_settings(
        auth_mode=mode, auth_secret=SECRET, guests_kept=days, token_ttl=ttl_s, guest_remembered=1
    )
    assert settings.users_kept_s == kept_s


def test_settings_do_not_change_once_they_are_read(env: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_a_missing_secret_is_named_beside_another_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTH_MODE", raising=False)
    monkeypatch.delenv("AUTH_SECRET", raising=False)
    monkeypatch.setenv("PORT", "web")
    with pytest.raises(SettingsError, match="AUTH_SECRET"):
        load_settings()


def test_a_wrong_value_given_in_code_is_shown_and_not_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTH_MODE", "guest")
    monkeypatch.setenv("PORT", "9000")
    with pytest.raises(SettingsError, match="PORT=0"):
        load_settings(port=0)


def test_the_password_of_a_wrong_redis_url_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", "guest")
    monkeypatch.setenv("REDIS_URL", "redis:/:hunter2@host")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


# Alphabets without letters that appear in the rest of a URL: a Z is always part of a secret.
secrets = st.text("Z:@/?#%&=,[]. \n\\", min_size=1, max_size=12).map(lambda text: f"Z{text}Z")
hosts = st.sampled_from(["h", "redis.example", "127.0.0.1", "[::1]", ""])
schemes = st.sampled_from(
    ["redis://", "rediss://", "unix://", "redis:/", "redis+sentinel://", "redis+cluster://", "http://"]
)
rests = st.sampled_from(["", ":6379", ":1,b/main", ":1/main/0", ":6379/0", "/run/redis.sock", "/0"])
users = st.one_of(
    st.just(""),
    secrets.map(lambda password: f":{password}@"),
    secrets.map(lambda user: f"{user}@"),
    st.tuples(secrets, secrets).map(lambda pair: f"{pair[0]}:{pair[1]}@"),
    secrets.map(lambda password: f":{quote(password)}@"),
)
queries = st.one_of(
    st.just(""),
    secrets.map(lambda password: f"?password={password}"),
    secrets.map(lambda password: f"?db=1&username=u&password={quote(password)}"),
)
one_url = st.tuples(schemes, users, hosts, rests, queries).map("".join)


@given(st.lists(one_url, min_size=1, max_size=3).map(",".join))
def test_no_part_of_a_user_or_password_is_shown_of_any_url(url: str) -> None:
    assert "Z" not in hide_password(url)


@given(one_url)
@example("redis://127.0.0.1:6379/0?password=Za&Zb=1")
def test_no_part_of_a_password_is_shown_when_a_redis_url_is_refused(url: str) -> None:
    said = ""
    try:
        load_settings(auth_mode="guest", redis_url=url)
    except SettingsError as exc:
        said = str(exc)
    assert "Z" not in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:a:b@c@host:6379/0", "redis://***@host:6379/0"),
        ("rediss://[::1]:6380/0?password=x", "rediss://[::1]:6380/0?***"),
        ("unix://user:pw@/run/redis.sock?db=1", "unix://***@/run/redis.sock?***"),
        ("redis://:forgotten", "redis://***"),
        ("localhost:6379", "localhost:6379"),
        ("redis+sentinel://u:p@a:1,b:2/main/0?sentinel_password=x", "redis+sentinel://***@a:1,b:2/main/0?***"),
    ],
)
def test_of_a_url_the_server_and_the_database_are_shown(url: str, shown: str) -> None:
    assert hide_password(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        *("redis://127.0.0.1:6379", "redis://host/3", "redis://[::1]:6379/0", "redis://user:p%2Fw@host:6379/0?"),
        *("rediss://:a,b@host:6380/0?ssl_ca_certs=/etc/ca.crt&ssl_cert_reqs=none", "unix:///run/redis.sock?db=2"),
        *(
            "redis+sentinel://a:26379,b,[::1]:26380/main/2",
            "rediss+sentinel://u:p%2Fw@a/main?ssl_ca_certs=/ca.crt",
            "redis+cluster://a:7000,b,[::1]:7002",
            "rediss+cluster://u:p%2Fw@a,b?ssl_ca_certs=/ca.crt",
        ),
    ],
)
def test_a_redis_url_that_can_be_used_is_accepted(url: str) -> None:
    check_redis_url(url)
    new_connection(url)


@given(one_url)
def test_a_redis_url_that_is_accepted_gives_a_connection(url: str) -> None:
    try:
        check_redis_url(url)
    except ValueError:
        return
    new_connection(url)


def test_the_redis_url_does_not_appear_where_settings_are_printed(env: pytest.MonkeyPatch) -> None:
    env.setenv("REDIS_URL", "redis://:hunter2@host/0")
    assert "hunter2" not in f"{load_settings()!r}"


@pytest.mark.parametrize("value", ["0.9", "31", "soon"])
def test_a_lease_that_is_too_short_or_too_long_is_named(env: pytest.MonkeyPatch, value: str) -> None:
    env.setenv("LEASE", value)
    (line,) = problems()
    assert line.startswith(f"LEASE={value}: ")
    assert line.endswith(
        "LEASE: write how many seconds a node may be silent before others take its runs, from 1 to 30."
    )


def test_an_address_of_a_node_without_the_base_path_is_named(env: pytest.MonkeyPatch) -> None:
    env.setenv("BASE_PATH", "/chat")
    env.setenv("NODE_URLS", "https://a.example/chat,https://b.example")
    (line,) = problems()
    assert "https://b.example does not end with BASE_PATH, which is /chat" in line
    assert "with BASE_PATH=/chat https://a.example.com/chat" in line
    env.delenv("NODE_URLS")
    env.setenv("PUBLIC_URL", "https://a.example")
    (line,) = problems()
    assert "it does not end with BASE_PATH, which is /chat" in line
    env.setenv("BASE_PATH", "/")
    assert load_settings().base_path == ""

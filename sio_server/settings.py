"""Every setting of a node, from the environment; a wrong one is named with what to write instead."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sio_server.protocol.webhook_type import WebhookType
from sio_server.redis_url import CLUSTER_FORM, SENTINEL_FORM, parse_redis_url

# Where `roomgraph redis` serves, unless told otherwise; not 6379, where another Redis may be at home.
DEFAULT_REDIS_PORT = 9379

_RATE_HINT = "write off, or how many are allowed in a second, minute or hour, such as 20/second;600/minute"
_RATE = r" *[1-9]\d{0,5} */ *(second|minute|hour) *"

# A path without a / at its end, in which nothing is encoded or relative.
_PATH = r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*"

_WEBHOOK_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}"
_WEBHOOK_TYPE = f"({'|'.join(map(re.escape, WebhookType))})"

_HINTS = {
    "REDIS_URL": "write a URL such as redis://127.0.0.1:6379/0, rediss://:password@host:6380/0, with Sentinel "
    f"{SENTINEL_FORM}, or of a Redis Cluster {CLUSTER_FORM}, in which characters of the password other than "
    "letters and digits are percent-encoded",
    "DURABLE_REPLICAS": "write how many replicas must have what was acked, from 0 (none is waited for) to 10",
    "HOST": "write an address to listen on, such as 127.0.0.1 or 0.0.0.0",
    "PORT": "write a number from 1 to 65535, such as 9000",
    "WEB_CONCURRENCY": "write how many processes share the port, from 1 to 256; each is a node of its own",
    "WORKER_PORTS": "write the port at which the first worker also serves alone, such as 9100, "
    "which the others follow with 9101 and so on, or nothing",
    "BASE_PATH": "write the path below which this server is reached, beginning with /, such as /chat, or nothing",
    "NODE_NAME": "write a short name for this node, such as web-1",
    "AUTH_MODE": "write token (you issue the tokens) or guest (anyone may take a name)",
    "AUTH_SECRET": "write at least 32 characters that nobody can guess, the same on every node: "
    "python -c 'import secrets; print(secrets.token_hex(32))'; several with commas between: the first one signs",
    "AUTH_JWKS_URL": "write where the issuer of your tokens publishes its keys, such as "
    "https://login.example.com/.well-known/jwks.json",
    "AUTH_ISSUER": "write the issuer (iss) that tokens must name, such as https://login.example.com/, or nothing",
    "AUTHENTICATE": "write package.module:function, which gets a token and headers and returns the user's claims",
    "OPERATOR_CLAIM": "write name=value of the claim that makes a user an operator, such as role=admin",
    "AUTH_AUDIENCE": "write the audience (aud) your tokens carry, such as roomgraph",
    "CLAIMS": "write the names of those claims of your tokens that graphs get, with commas between, such as "
    "tenant,role; identity, display_name, is_authenticated and permissions are the server's own",
    "TOKEN_TTL": "write how long a token lasts in seconds, from 60 to 31536000",
    "RATE_LIMIT_USER": _RATE_HINT,
    "RATE_LIMIT_MARKS": _RATE_HINT,
    "RATE_LIMIT_EVENTS": _RATE_HINT,
    "RATE_LIMIT_FILES": _RATE_HINT,
    "RATE_LIMIT_ADDRESS": _RATE_HINT,
    "RATE_LIMIT_SERVICE": _RATE_HINT,
    "SERVICE_KEYS": "write name:key for each service, with commas between; a key has at least 32 letters, digits, "
    "- and _ that nobody can guess, or is sha256. and its SHA-256 in hexadecimal. Without keys the API is "
    "off",
    "WEBHOOKS": "write name=https://... for each endpoint, with commas between; after # the types that it wants, "
    "such as shop=https://shop.example.com/hooks#run.ended+question.asked",
    "WEBHOOK_SECRETS": "write name=whsec_... for each endpoint, with commas between; after whsec_ are 24 "
    "to 64 bytes in base64: python -c 'import base64, secrets; "
    'print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())\'',
    "TRUSTED_PROXIES": "write how many proxies of yours stand one behind the other before a node, from 0 to 10",
    "CONNECTIONS_PER_USER": "write how many connections a user may have on all nodes, 0 (no limit) to 100000",
    "CONNECTIONS_PER_ADDRESS": "write how many connections an address may have on a node, 0 (no limit) to 1000000",
    "PRESENCE_GRACE": "write how many seconds a user may be away before others are told, from 0 to 60",
    "CONVERSATIONS_PER_SESSION": "write how many conversations a session may follow, 0 (no limit) to 1000000",
    "QUOTA_CONVERSATIONS": "write in how many conversations a user may be, 0 (no limit) to 1000000",
    "QUOTA_BYTES": "write how many bytes of messages and drafts a user may have stored, or 0 (no limit)",
    "QUOTA_INVITATIONS": "write how many invitations a user may have made that hold, 0 (no limit) to 1000000",
    "INVITATIONS_KEPT": "write for how many days an invitation holds, from 1 to 3650",
    "ABANDONED_KEPT": "write for how many days a conversation that nobody can reach is kept, 0 (for ever) to 3650",
    "GUESTS_KEPT": "write for how many days what a guest has is kept after the last session, 0 (for ever) to 3650",
    "ALLOWED_ORIGINS": "write the pages' origins with commas between, such as https://chat.example.com",
    "ALLOWED_HOSTS": "write the names under which this server is reached, without port and with commas between, "
    "such as chat.example.com or .example.com for all names in a domain, or * for any name",
    "METRICS_TOKEN": "write at least 16 letters, digits, - and _ that nobody can guess, which Prometheus sends as "
    "bearer token, or nothing: then only this machine and private networks read the metrics",
    "NODE_URLS": "write the addresses at which pages reach the nodes, with commas between, such as "
    "https://a.example.com,https://b.example.com, or with BASE_PATH=/chat https://a.example.com/chat",
    "PUBLIC_URL": "write the address that links of the page are to have, such as https://chat.example.com, "
    "or nothing: then they have the address under which the page was opened",
    "MAX_CONNECTIONS": "write how many clients this node may have at once, from 1 to 1000000",
    "MAX_HTTP_CONNECTIONS": "write how many connections beside websockets this node may have at once, "
    "from 8 to 100000",
    "TRANSPORT": "write direct, or stock for the sockets of the libraries, which cost more",
    "JOIN_WRITES": "write how many milliseconds an event may wait for the next ones of its conversation, to "
    "be written with them, from 0 (not at all) to 20",
    "GUEST_REMEMBERED": "write for how many days a browser knows its guest again, 0 (not at all) to 3650",
    "RUN_CONCURRENCY": "write how many runs this node may execute at once, from 0 (none) to 1000",
    "RUN_TIMEOUT": "write how many seconds a run may take, from 1 to 86400",
    "LOG_RETENTION": "write how many entries of a conversation are kept, 0 for all of them, or at least 100",
    "LOG_RETENTION_DAYS": "write for how many days entries are kept, 0 (for ever) to 36500",
    "ARCHIVE_URL": "write where entries go that LOG_RETENTION would drop, such as s3://bucket/prefix, "
    "gs://bucket/prefix or file:///var/lib/roomgraph/archive, or nothing",
    "SEARCH": "write scan (logs are looked through, a part for each request) or off",
    "FILES_URL": "write where files of messages are stored: a folder such as /var/lib/roomgraph/files, "
    "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix, or nothing: then messages have no files",
    "FILES_MAX_BYTES": "write how many bytes a file may have, from 1024 to 1073741824",
    "REQUESTS_KEPT": "write for how many days results of requests are kept that made an entry, from 1 to 3650",
    "ADMIN_UI": "write user:password, with a password of at least 16 characters, or off",
    "TRACES": "write otlp (spans go to a collector of OpenTelemetry, as the variables OTEL_... say) or off",
    "LOG_FORMAT": "write text, or json for one JSON object a line",
    "LOG_LEVEL": "write one of debug, info, warning, error",
    "MAX_ANSWER_BYTES": "write how many bytes an answer may have with all its parts, from 65536 to 67108864",
    "VAPID_PRIVATE_KEY": "write what `roomgraph vapid` prints, the same on every node, or nothing: then no "
    "notifications are sent",
    "VAPID_SUBJECT": "write how push services reach you, such as mailto:admin@example.com or https://example.com",
    "PUSH_PRIVATE": "write on if notifications may be sent to addresses of your own network, without TLS, or off",
    "BOT_TURNS": "write how many messages of bots, and answers to them, in a row agents answer, from 0 to 1000",
    "RUN_ATTEMPTS": "write how often a graph that fails is tried, from 1 to 10",
    "RECURSION_LIMIT": "write how many steps a graph may take for an answer, from 1 to 10000",
    "REPORT_NODES": "write off (members see none of a graph's nodes), names, or full (also what the nodes return)",
    "LEASE": "write how many seconds a node may be silent before others take its runs, from 1 to 30",
    "DRAIN_GRACE": "write how many seconds runs may go on after SIGTERM, from 0 to 600",
    "GRAPH": "write concierge, echo, assistant or package.module:attribute",
    "GRAPH_INPUT": "write the key of the graph's state that gets the text, or . where the text is the input",
    "GRAPH_OUTPUT": "write the key of the graph's state whose value is the answer, or . for the whole output",
    "LANGGRAPH_JSON": "write the path of a langgraph.json",
    "MODEL": "write provider:model, such as openai:gpt-4o-mini or ollama:llama3.2",
    "AGENT_TITLES": "write on (agents may give a conversation without a title one) or off",
    "MODEL_TITLES": "write on (the assistant asks the model for a title, once in a conversation) or off",
    "MODEL_TIMEOUT": "write how many seconds the model may be silent, from 1 to 3600",
    "CHECKPOINTER": "write plain (any Redis) or redis (needs the JSON and Search of Redis 8)",
    "CHECKPOINTS_KEPT": "write of how many finished runs the checkpoints are kept, from 2 to 1000",
    "STAGE_KEY": "write at least 16 letters, digits, - and _ that nobody can guess, the same on every node, "
    "or nothing: then there is no stage",
    "STAGE_CONTROL": "write the local cluster's controller, such as http://127.0.0.1:9100, or nothing",
    "WORD_DELAY": "write the seconds between two words of the concierge, from 0 to 1",
}

_SECRETS = {
    "ADMIN_UI",
    "AUTH_SECRET",
    "METRICS_TOKEN",
    "SERVICE_KEYS",
    "STAGE_KEY",
    "VAPID_PRIVATE_KEY",
    "WEBHOOK_SECRETS",
}  # never shown, however wrong they are


# What graphs are told of a person, whatever a token says.
RESERVED_CLAIMS = frozenset({"identity", "display_name", "is_authenticated", "permissions"})

MAX_NODE_NAME = 64
MIN_ADMIN_PASSWORD = 16  # characters; nothing but its length stops a client that tries many


class SettingsError(ValueError):
    """The environment holds settings that cannot be used; the message is for people."""


class Settings(BaseSettings):
    """The settings of a node. Each is read from the environment variable of its name in capitals."""

    model_config = SettingsConfigDict(frozen=True)

    redis_url: str = Field(default=f"redis://127.0.0.1:{DEFAULT_REDIS_PORT}/0", repr=False)
    durable_replicas: Annotated[int, Field(ge=0, le=10)] = 0
    host: Annotated[str, Field(pattern=r"^\S+$")] = "0.0.0.0"
    port: Annotated[int, Field(ge=1, le=65535)] = 9000
    web_concurrency: Annotated[int, Field(ge=1, le=256)] = 1
    worker_ports: Annotated[int, Field(ge=0, le=65_279)] = 0
    base_path: str = ""
    node_name: Annotated[str, Field(pattern=rf"^[A-Za-z0-9._:-]{{0,{MAX_NODE_NAME}}}$")] = ""
    auth_mode: Literal["token", "guest"] = "token"
    auth_secret: str = Field(default="", repr=False)
    auth_audience: Annotated[str, Field(min_length=1)] = "roomgraph"
    auth_jwks_url: Annotated[str, Field(pattern=r"^(https?://[^\s@#]+)?$")] = ""
    auth_issuer: Annotated[str, Field(pattern=r"^\S*$")] = ""
    authenticate: Annotated[str, Field(pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_][\w.]*)?$")] = ""
    operator_claim: Annotated[tuple[str, str], NoDecode] = ("roomgraph_role", "operator")
    claims: Annotated[tuple[str, ...], NoDecode] = ()
    token_ttl: Annotated[int, Field(ge=60, le=31_536_000)] = 86_400
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    node_urls: Annotated[tuple[str, ...], NoDecode] = ()
    public_url: str = ""
    service_keys: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)
    webhooks: Annotated[tuple[str, ...], NoDecode] = ()
    webhook_secrets: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False, validate_default=True)
    vapid_private_key: str = Field(default="", repr=False, pattern=r"^([A-Za-z0-9_-]{43})?$")
    vapid_subject: Annotated[str, Field(pattern=r"^((mailto:[^\s@]+@[^\s@]+|https://\S+))?$")] = Field(
        default="", validate_default=True
    )
    push_private: Literal["on", "off"] = "off"
    metrics_token: str = Field(default="", repr=False, pattern=r"^([A-Za-z0-9_-]{16,})?$")
    max_http_connections: Annotated[int, Field(ge=8, le=100_000)] = 1000
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    transport: Literal["direct", "stock"] = "direct"
    join_writes: Annotated[float, Field(ge=0, le=20)] = 0
    rate_limit_user: str = "20/second;600/minute"
    rate_limit_marks: str = "60/second;2400/minute"
    rate_limit_events: str = "200/second;6000/minute"
    rate_limit_files: str = "20/second;120/minute"
    rate_limit_address: str = "100/second;3000/minute"
    rate_limit_service: str = "200/second;6000/minute"
    trusted_proxies: Annotated[int, Field(ge=0, le=10)] = 0
    connections_per_user: Annotated[int, Field(ge=0, le=100_000)] = 100
    connections_per_address: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    presence_grace: Annotated[float, Field(ge=0, le=60)] = 5.0
    conversations_per_session: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    quota_conversations: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    quota_bytes: Annotated[int, Field(ge=0)] = 100_000_000
    quota_invitations: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    invitations_kept: Annotated[int, Field(ge=1, le=3650)] = 30
    abandoned_kept: Annotated[int, Field(ge=0, le=3650)] = 7
    guests_kept: Annotated[int, Field(ge=0, le=3650)] = 90
    guest_remembered: Annotated[int, Field(ge=0, le=3650)] = 30
    run_concurrency: Annotated[int, Field(ge=0, le=1000)] = 16
    run_timeout: Annotated[int, Field(ge=1, le=86_400)] = 300
    max_answer_bytes: Annotated[int, Field(ge=65_536, le=67_108_864)] = 8_388_608
    bot_turns: Annotated[int, Field(ge=0, le=1000)] = 6
    run_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    report_nodes: Literal["off", "names", "full"] = "names"
    recursion_limit: Annotated[int, Field(ge=1, le=10_000)] = 100
    lease: Annotated[float, Field(ge=1, le=30)] = 3.0
    drain_grace: Annotated[float, Field(ge=0, le=600)] = 5.0
    graph: Annotated[str, Field(min_length=1)] = "concierge"
    graph_input: str = ""
    graph_output: str = ""
    langgraph_json: str = ""
    model: str = ""
    agent_titles: Literal["on", "off"] = "on"
    model_titles: Literal["on", "off"] = "off"
    model_timeout: Annotated[float, Field(ge=1, le=3600)] = 60.0
    checkpointer: Literal["plain", "redis"] = "plain"
    checkpoints_kept: Annotated[int, Field(ge=2, le=1000)] = 3
    log_retention: Annotated[int, Field(ge=0)] = 0
    log_retention_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    archive_url: Annotated[str, Field(pattern=r"^((s3|gs|az)://[^\s/@]+|file://)(/[^\s@]*)?$|^$")] = ""
    search: Literal["scan", "off"] = "scan"
    files_url: Annotated[str, Field(pattern=r"^((s3|gs|az)://[^\s/@]+(/[^\s@]*)?|(file://)?[^:@\s]+)?$")] = (
        ".data/files"
    )
    files_max_bytes: Annotated[int, Field(ge=1024, le=1_073_741_824)] = 10_485_760
    requests_kept: Annotated[int, Field(ge=1, le=3650)] = 30
    admin_ui: str = Field(default="", repr=False)
    traces: Literal["off", "otlp"] = "off"
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    word_delay: Annotated[float, Field(ge=0, le=1)] = 0.02
    stage_key: str = Field(default="", repr=False, pattern=r"^([A-Za-z0-9_-]{16,})?$")
    stage_control: Annotated[str, Field(pattern=r"^(https?://[A-Za-z0-9.:-]+)?$")] = ""

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: str) -> str:
        check_redis_url(value)
        return value

    @field_validator(
        "allowed_origins",
        "allowed_hosts",
        "node_urls",
        "claims",
        "service_keys",
        "webhooks",
        "webhook_secrets",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        )

    @field_validator("admin_ui")
    @classmethod
    def _is_an_account(cls, value: str) -> str:
        if value in ("", "off"):
            return ""
        user, _, password = value.partition(":")
        if not user or len(password) < MIN_ADMIN_PASSWORD:
            raise ValueError("not a user with a password that nobody can guess")
        return value

    @field_validator("operator_claim", mode="before")
    @classmethod
    def _is_a_claim_with_its_value(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        name, _, wanted = (part.strip() for part in value.partition("="))
        if not name or not wanted:
            raise ValueError("not a name, = and a value")
        return name, wanted

    @field_validator("worker_ports")
    @classmethod
    def _leave_the_port_free(cls, value: int, info: ValidationInfo) -> int:
        port, count = info.data.get("port", 0), info.data.get("web_concurrency", 1)
        if value and count > 1 and value <= port < value + count:
            raise ValueError(f"{count} workers use {value} to {value + count - 1}, and PORT={port} is among them")
        return value

    @field_validator("node_name")
    @classmethod
    def _leaves_room_for_numbers(cls, value: str, info: ValidationInfo) -> str:
        count = info.data.get("web_concurrency", 1)
        if value and count > 1 and len(f"{value}.{count}") > MAX_NODE_NAME:
            raise ValueError(f"too long for workers, to whose names .1 to .{count} is added")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = []
        for item in value:
            form = re.fullmatch(
                r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?", item.lower()
            )
            if form is None and item != "*":
                raise ValueError(f"{item} is not an origin")
            # As browsers write it: they leave out the port that a scheme has anyway.
            origins.append(f"{form[1]}://{form[2]}{_shown_port(form[1], form[3] or '')}" if form else item)
        return tuple(origins)

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name):
                raise ValueError(f"{name} is not the name of a host")
        return value

    @field_validator("claims")
    @classmethod
    def _are_free(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if taken := RESERVED_CLAIMS.intersection(value):
            raise ValueError(f"{min(taken)} cannot be a claim's")
        return value

    @field_validator("service_keys")
    @classmethod
    def _are_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, item in enumerate(value, 1):  # the key is not shown, whatever is wrong with it
            if not re.fullmatch(
                r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}:([A-Za-z0-9_-]{32,}|sha256\.[0-9a-f]{64})", item
            ):
                raise ValueError(f"key {number} is not of the form name:key, or too short")
        return value

    @field_validator("webhooks")
    @classmethod
    def _are_endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = []
        for number, item in enumerate(value, 1):  # its path may be what only the two of them know
            form = re.fullmatch(
                rf"({_WEBHOOK_NAME})=https?://[^@#\s]+(#{_WEBHOOK_TYPE}(\+{_WEBHOOK_TYPE})*)?", item
            )
            if form is None:
                raise ValueError(f"endpoint {number} is not of the form name=https://...")
            names.append(form[1])
        if len(set(names)) < len(names):
            raise ValueError("two endpoints have the same name")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _sign(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for number, item in enumerate(value, 1):  # the secret is not shown
            form = re.fullmatch(rf"({_WEBHOOK_NAME})=whsec_([A-Za-z0-9+/]{{32,86}}={{0,2}})", item)
            if form is None or len(form[2]) % 4:
                raise ValueError(f"secret {number} is not of the form name=whsec_...")
        signed = {item.partition("=")[0] for item in value}
        for endpoint in info.data.get("webhooks", ()):
            if (name := endpoint.partition("=")[0]) not in signed:
                raise ValueError(f"the endpoint {name} has no secret")
        return value

    @field_validator("vapid_subject")
    @classmethod
    def _is_there_with_a_key(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("vapid_private_key") and not value:
            raise ValueError("VAPID_PRIVATE_KEY needs it")
        return value

    @field_validator("node_urls")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        urls = tuple(url.rstrip("/") for url in value)
        for url in urls:
            # Their origins go into the page's security policy as well, where a semicolon means something else.
            if not re.fullmatch(rf"https?://[A-Za-z0-9._\[\]:-]+{_PATH}", url):
                raise ValueError(f"{url} is not the address of a node")
            if not url.endswith(base_path := info.data.get("base_path", "")):
                raise ValueError(f"{url} does not end with BASE_PATH, which is {base_path}")
        return urls

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str, info: ValidationInfo) -> str:
        url = value.rstrip("/")
        if url and not re.fullmatch(rf"https?://[A-Za-z0-9._\[\]:-]+{_PATH}", url):
            raise ValueError("not the address of a page")
        if url and not url.endswith(base_path := info.data.get("base_path", "")):
            raise ValueError(f"it does not end with BASE_PATH, which is {base_path}")
        return url

    @field_validator("base_path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        path = value.rstrip("/")
        if not re.fullmatch(_PATH, path):
            raise ValueError("not a path")
        return path

    @field_validator(
        "rate_limit_user",
        "rate_limit_marks",
        "rate_limit_events",
        "rate_limit_files",
        "rate_limit_address",
        "rate_limit_service",
    )
    @classmethod
    def _are_rates(cls, value: str) -> str:
        if value != "off" and not re.fullmatch(f"{_RATE}(;{_RATE}){{0,3}}", value):
            raise ValueError("not a rate")
        return value

    @field_validator("log_retention")
    @classmethod
    def _enough_to_catch_up(cls, value: int) -> int:
        if 0 < value < 100:
            raise ValueError("fewer than a returning device needs")
        return value

    @model_validator(mode="after")
    def _secret_when_needed(self) -> Settings:
        problem = _secret_problem(self.auth_mode, self.auth_secret, self.auth_jwks_url or self.authenticate)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def name(self) -> str:
        """The node's name as people see it: its port, unless it was given one."""
        return self.node_name or str(self.port)

    @property
    def auth_secrets(self) -> tuple[str, ...]:
        """The secrets with which tokens may be signed; the first one signs those that are issued here."""
        return _split_secrets(self.auth_secret)

    @property
    def issues_tokens(self) -> bool:
        """Whether there is a secret with which tokens are signed here."""
        return self.auth_mode == "guest" or bool(self.auth_secrets)

    @property
    def features(self) -> list[str]:
        """What clients may count on here, and not on every server; told in `session:opened`."""
        return [
            *(["guests"] if self.auth_mode == "guest" else []),
            *(["device_links"] if self.issues_tokens else []),
            *(["search"] if self.search == "scan" else []),
            *(["push"] if self.vapid_private_key else []),
            *(["stage"] if self.stage_key else []),
            *(["state_reports"] if self.report_nodes == "full" else []),
        ]

    @property
    def users_kept_s(self) -> int:
        """How long what a user has is kept after the last session, in seconds; 0: for ever.

        Only guests are forgotten, and not before their tokens, nor before the browsers that know them again:
        a sign-out has to refuse both.
        """
        if self.auth_mode != "guest" or not self.guests_kept:
            return 0
        return max(self.guests_kept * 86_400, self.guest_remembered * 86_400, self.token_ttl)


def hint(name: str) -> str:
    """What to write for a setting."""
    return _HINTS.get(name, "see docs/operations.md")


def _split_secrets(secret: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in secret.split(",") if part.strip())


def _secret_problem(auth_mode: str, secret: str, instead: str) -> str:
    """What is wrong with AUTH_SECRET; `instead`: what else says which user a token stands for."""
    secrets = _split_secrets(secret)
    if auth_mode == "token" and not secrets and not instead:
        return "AUTH_SECRET is not set, and AUTH_MODE=token needs it, or AUTH_JWKS_URL, or AUTHENTICATE"
    if any(len(one) < 32 for one in secrets):
        return "AUTH_SECRET is too short" if len(secrets) == 1 else "one of AUTH_SECRET is too short"
    return ""


def _shown_port(scheme: str, port: str) -> str:
    return "" if (scheme, port) in (("https", ":443"), ("http", ":80")) else port


def _webhook_names(value: str) -> str:
    """WEBHOOKS as it may be shown: of each endpoint its name."""
    items = (item.strip() for item in value.split(",") if item.strip())
    named = ((re.match(rf"({_WEBHOOK_NAME}=)?", item) or [""])[0] for item in items)
    return ",".join(f"{name}***" for name in named)


_SEEN_IN_URLS = r"[A-Za-z0-9._:,\[\]-]*(/[A-Za-z0-9._,:%~/-]*)?"  # servers, and the database or the socket


def hide_password(url: str) -> str:
    """A URL, or several, as it may be shown: nothing of a user, a password or a query, well-formed or not."""
    scheme, rest = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*:/+)?(.*)", url, re.DOTALL).groups()  # type: ignore[union-attr]
    user, at, tail = rest.rpartition("@")
    if not scheme and not at:
        return url
    tail, question, _ = tail.partition("?")
    ports = re.findall(r":([^:/,]*)", re.sub(r"\[[0-9A-Fa-f:.]*\]", "", tail).replace("://", ""))
    # A `?` before the last `@`, or a port that is none, is part of a password that was not percent-encoded.
    is_plain = re.fullmatch(_SEEN_IN_URLS, tail) and all(re.fullmatch("[0-9]{0,5}", port) for port in ports)
    if "?" in user or not is_plain:
        return f"{scheme or ''}***"
    return f"{scheme or ''}{'***@' if at else ''}{tail}{'?***' if question else ''}"


def check_redis_url(url: str) -> None:
    """Raise ValueError, which says what is wrong, for a URL at which no Redis can be used."""
    parse_redis_url(url)


def redis_url_or_default() -> str:
    """REDIS_URL, or the URL of the bundled Redis. Raises SettingsError, as `load_settings` does."""
    url = os.environ.get("REDIS_URL", f"redis://127.0.0.1:{DEFAULT_REDIS_PORT}/0")
    try:
        check_redis_url(url)
    except ValueError as exc:
        raise SettingsError(f"REDIS_URL={hide_password(url)}: {exc}. REDIS_URL: {_HINTS['REDIS_URL']}.") from None
    return url


def durable_replicas_or_default() -> int:
    """DURABLE_REPLICAS, for commands that need no other settings. Raises SettingsError."""
    text = os.environ.get("DURABLE_REPLICAS", "0")
    if not re.fullmatch(r"10|[0-9]", text):
        raise SettingsError(f"DURABLE_REPLICAS={text}. DURABLE_REPLICAS: {_HINTS['DURABLE_REPLICAS']}.")
    return int(text)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; raise SettingsError with one line for each wrong one, and what to write instead."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as exc:
        problems = {}
        for error in exc.errors(include_url=False):
            name = str(error["loc"][0]).upper() if error["loc"] else "AUTH_SECRET"
            mismatch = error["type"] == "string_pattern_mismatch"  # its message shows a regular expression
            problem = "not of this form" if mismatch else error["msg"].removeprefix("Value error, ")
            value = str(error.get("input"))
            if name == "WEBHOOKS":
                value = _webhook_names(value if isinstance(error.get("input"), str) else ",".join(error["input"]))
            elif name == "REDIS_URL" or "@" in value:
                value = hide_password(value)
            given = "" if name in _SECRETS else f"{name}={value}: "
            problems[name] = given + problem
        # The check of the secret comes last and is left out when a field before it is wrong.
        mode, secret, keys, hook = (
            str(overrides.get(name) or os.environ.get(name.upper(), default))
            for name, default in (
                ("auth_mode", "token"),
                ("auth_secret", ""),
                ("auth_jwks_url", ""),
                ("authenticate", ""),
            )
        )
        missing = _secret_problem(mode, secret, keys or hook)
        if missing:
            problems["AUTH_SECRET"] = missing
        lines = [f"{said}. {name}: {hint(name)}." for name, said in problems.items()]
        raise SettingsError("\n".join(lines)) from None

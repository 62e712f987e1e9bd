"""REDIS_URL, parsed: one server, a primary that Sentinel names, or a Redis Cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SENTINEL_FORM = "redis+sentinel://host:26379,host:26379/service/0"
CLUSTER_FORM = "redis+cluster://host:6379,host:6379"

Kind = Literal["single", "sentinel", "cluster"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("redis", "rediss", "unix"), "single"),
    **dict.fromkeys(("redis+sentinel", "rediss+sentinel"), "sentinel"),
    **dict.fromkeys(("redis+cluster", "rediss+cluster"), "cluster"),
}
_DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}
_OPTIONS = ("db", "username", "password", "client_name", "socket_keepalive", "health_check_interval")
_OF_SENTINELS = ("sentinel_username", "sentinel_password")
_OF_TLS = (
    *("ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname"),
    *("ssl_ciphers", "ssl_keyfile", "ssl_min_version", "ssl_password"),
)
_SERVER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class RedisUrl:
    """Where Redis is. What redis-py reads, it is given as URLs of single servers (`redis://`, `rediss://`, `unix://`).

    `server`: the server itself; with Sentinel, the primary under the address of the first sentinel, which Sentinel
    replaces; of a cluster, the first of its servers. `sentinels`: one URL for each. `servers`: of a cluster.
    """

    kind: Kind
    server: str = field(repr=False)
    service: str = ""
    sentinels: tuple[str, ...] = field(default=(), repr=False)
    servers: tuple[str, ...] = field(default=(), repr=False)


def parse_redis_url(url: str) -> RedisUrl:
    """Raises ValueError, which says what is wrong and shows no password, when it names no Redis."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _KINDS:
        raise ValueError(_unknown(scheme) if separator else "not a Redis URL")
    if "#" in url:
        raise ValueError("a # is written %23")
    if _KINDS[scheme] == "single":
        _check_single(url, scheme, rest)
        return RedisUrl("single", url)
    return _parse_several(url, scheme, _KINDS[scheme])


def _unknown(scheme: str) -> str:
    if "sentinel" in scheme:
        return f"not a Redis URL; for Redis Sentinel write {SENTINEL_FORM}, or rediss+sentinel:// with TLS"
    if "cluster" in scheme:
        return f"not a Redis URL; for Redis Cluster write {CLUSTER_FORM}, or rediss+cluster:// with TLS"
    return "not a Redis URL"


def _check_single(url: str, scheme: str, rest: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
        options = _options(parts.query, _OPTIONS, scheme)
    except _WrongOption as exc:
        raise ValueError(str(exc)) from None
    except ValueError:
        raise ValueError(
            _several(rest) or "the port or an option is wrong, or a password is not encoded"
        ) from None
    if several := _several(parts.netloc):
        raise ValueError(several)
    if port == 0 or (scheme != "unix" and re.search(r"[^A-Za-z0-9._:%\[\]-]", parts.netloc.rpartition("@")[2])):
        raise ValueError("the host or the port is wrong")
    if scheme == "unix" and not parts.path:
        raise ValueError("the path of the socket is missing")
    _check_databases([options.get("db", ""), *([parts.path.strip("/")] if scheme != "unix" else [])])


def _several(servers: str) -> str:
    if "," not in servers.rpartition("@")[2]:
        return ""
    return (
        f"several servers are named: for Redis Sentinel write {SENTINEL_FORM}, for Redis Cluster {CLUSTER_FORM}, "
        "or name one server"
    )


def _parse_several(url: str, scheme: str, kind: Kind) -> RedisUrl:
    try:
        parts = urlsplit(url)
        options = _options(parts.query, (*_OPTIONS, *(_OF_SENTINELS if kind == "sentinel" else ())), scheme)
    except _WrongOption as exc:
        raise ValueError(str(exc)) from None
    except ValueError:
        raise ValueError("a host or an option is wrong, or a password is not encoded") from None
    user, at, hosts = parts.netloc.rpartition("@")
    servers = [_server(host, _DEFAULT_PORTS[kind]) for host in hosts.split(",")]
    service, database = "", parts.path.strip("/")
    if kind == "sentinel":
        service, _, database = database.partition("/")
        service = unquote(service)
        if not re.fullmatch(r"[A-Za-z0-9._-]+", service):
            raise ValueError(
                f"the name of the service, as `sentinel monitor` has it, is missing or wrong: {SENTINEL_FORM}"
            )
    _check_databases([database, options.get("db", "")])
    if kind == "cluster" and {database, options.get("db", "")} - {"", "0"}:
        raise ValueError("a Redis Cluster has no databases but 0")
    plain = scheme.partition("+")[0]
    of_sentinels = {name.removeprefix("sentinel_"): options.pop(name, "") for name in _OF_SENTINELS}
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    database = database or options.pop("db", "")
    urls = [f"{plain}://{user}{at}{server}/{database}{_query(options)}" for server in servers]
    if kind == "cluster":
        return RedisUrl(kind, urls[0], servers=tuple(urls))
    asked = [f"{plain}://{server}/{_query({**of_sentinels, **tls})}" for server in servers]
    return RedisUrl(kind, urls[0], service, sentinels=tuple(asked))


def _server(text: str, default_port: int) -> str:
    found = _SERVER.fullmatch(text)
    if not found or not 1 <= int(found[2] or default_port) <= 65535:
        raise ValueError("a host or a port is wrong: write host:port, with commas between")
    return f"{found[1]}:{found[2] or default_port}"


class _WrongOption(ValueError):
    """An option that cannot be used; the message is for people."""


def _options(query: str, known: tuple[str, ...], scheme: str) -> dict[str, str]:
    if "@" in query:
        raise _WrongOption("a ? in a password is written %3F, and a @ is written %40")
    options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    for name in options:
        if name in _OF_SENTINELS and name not in known:
            raise _WrongOption(f"{name} is for redis+sentinel:// only")
        if name in _OF_TLS and not scheme.startswith("rediss"):
            with_tls = f"write {scheme.replace('redis', 'rediss', 1)}://, or " if scheme != "unix" else ""
            raise _WrongOption(f"{name} is for TLS: {with_tls}leave it out")
        if name not in known and name not in _OF_TLS:
            # What follows a password may be a part of it.
            if any("password" in one for one in list(options)[: list(options).index(name)]):
                raise _WrongOption("an & in a password is written %26, or an option is wrong")
            raise _WrongOption(f"there is no option {name[:40]!r}")
    if options.get("ssl_cert_reqs", "none") not in ("none", "optional", "required"):
        raise _WrongOption("ssl_cert_reqs is none, optional or required")
    return options


def _check_databases(databases: list[str]) -> None:
    if any(database and not re.fullmatch(r"[0-9]{1,5}", database) for database in databases):
        raise ValueError("the database is not a number, or a / in a password is not written %2F")


def _query(options: dict[str, str]) -> str:
    given = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items() if value)
    return f"?{given}" if given else ""

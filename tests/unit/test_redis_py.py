"""The private names of redis-py that we rely on are where they were; this names those that have moved."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import DataError, NoScriptError, ReadOnlyError, ResponseError

from sio_server.store import redis_py
from sio_server.store.redis_py import CONNECTION_NAMES, PIPELINE_NAMES, encode, our_kind, parse_error, share_tls


@pytest.mark.parametrize("kind", [Connection, SSLConnection, UnixDomainSocketConnection])
def test_a_connection_of_redis_py_has_the_private_names_that_are_used(kind):
    connection = our_kind(kind)()
    assert [name for name in CONNECTION_NAMES if not hasattr(connection, name)] == []
    assert connection._reader is None
    assert connection._writer is None


def test_a_pipeline_of_redis_py_has_the_names_that_are_used():
    pipe = Redis().pipeline()
    assert [name for name in PIPELINE_NAMES if not hasattr(pipe, name)] == []


def test_arguments_are_encoded_as_redis_py_does():
    assert [encode(value) for value in ("é", b"\xff", 7, 2.5, memoryview(b"m"))] == [
        *("é".encode(), b"\xff", b"7", b"2.5", b"m")
    ]
    nothing: list[Any] = []
    for wrong in (None, True, nothing):
        with pytest.raises(DataError, match="Convert to a bytes, string, int or float first"):
            encode(wrong)


def test_errors_of_redis_are_those_that_redis_py_raises():
    texts = ["NOSCRIPT No matching script", "READONLY You can't write", "ERR no", "MISCONF disk"]
    kinds = [type(parse_error(text)) for text in texts]
    assert kinds == [NoScriptError, ReadOnlyError, ResponseError, ResponseError]


def test_connections_over_tls_with_the_same_settings_share_a_context_for_some_minutes(monkeypatch) -> None:
    def new(**settings: Any) -> Any:
        connection: Any = SSLConnection(ssl_cert_reqs="none", **settings)
        share_tls(connection)
        return connection.ssl_context

    monkeypatch.setattr(redis_py, "_tls", {})
    first = new()
    assert new() is first
    assert new(ssl_ciphers="HIGH") is not first
    monkeypatch.setattr(redis_py, "TLS_KEPT_S", -1.0)
    assert new() is not first, "certificates may have been renewed"
    share_tls(Connection())  # which has none

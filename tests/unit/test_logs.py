"""The log of a node is bounded, whatever clients do."""

from __future__ import annotations

import logging

import pytest
from aiohttp.http_exceptions import BadStatusLine

from sio_server import logs


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("sio_server.logs.time.monotonic", lambda: now[0])
    return now


def line(message: str = "a mistake: %s", *args: object) -> logging.LogRecord:
    return logging.LogRecord("some.module", logging.INFO, "file", 1, message, args, None)


def test_lines_of_one_kind_are_bounded_and_counted(clock):
    bounded = logs.Bounded()
    assert sum(bounded.filter(line("a mistake: %s", number)) for number in range(1000)) == logs.LINES
    assert bounded.filter(line("another: %s", 1)), "other kinds go on"
    clock[0] += logs.PERIOD_S
    after = line("a mistake: %s", "x")
    assert bounded.filter(after)
    assert after.getMessage() == f"a mistake: x (and {1000 - logs.LINES} more like it before)"
    clock[0] += logs.PERIOD_S
    later = line("a mistake: %s", "y")
    assert bounded.filter(later)
    assert later.getMessage() == "a mistake: y"


def test_messages_that_differ_each_time_do_not_pile_up(clock):
    bounded = logs.Bounded()
    for number in range(3 * logs.KINDS):
        assert bounded.filter(line(f"mistake {number}"))
    assert len(bounded._kinds) <= logs.KINDS


def test_a_client_that_does_not_speak_http_is_no_error_in_the_log():
    def failed(error: Exception) -> logging.LogRecord:
        return logging.LogRecord("aiohttp.server", logging.ERROR, "f", 1, "m", (), (type(error), error, None))

    assert not logs.not_http(failed(BadStatusLine("\x16\x03")))
    assert logs.not_http(failed(ValueError("ours")))
    assert logs.not_http(line())

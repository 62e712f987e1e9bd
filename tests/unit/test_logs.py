"""The log of a node is bounded, whatever clients do."""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import pytest
from aiohttp.http_exceptions import BadStatusLine

from sio_server import logs
from sio_server.log_lines import JsonLines, fields_of, lines_about


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


def as_json(record: logging.LogRecord) -> dict:
    (line,) = JsonLines("web-1").format(record).splitlines()
    return json.loads(line)


def test_a_line_of_json_has_what_its_message_names_as_fields():
    record = line("a run failed: run_id=%s attempt=%d %s share=%5.1f%% why=%r", "r-1", 2, "x", 0.5, "no")
    record.created = 1_700_000_000.0625
    assert as_json(record) == {
        "ts": "2023-11-14T22:13:20.062Z",
        "level": "info",
        "logger": "some.module",
        "message": "a run failed: run_id=r-1 attempt=2 x share=  0.5% why='no'",
        "node": "web-1",
        "run_id": "r-1",
        "attempt": 2,
        "share": 0.5,
        "why": "no",
    }


def test_an_error_and_its_traceback_are_in_the_same_line():
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = logging.LogRecord(
            "m", logging.ERROR, "f", 1, "no: error=%s node=%s", ("a\nb", "x"), sys.exc_info()
        )
    said = as_json(record)
    assert (said["message"], said["node"]) == ("no: error=a\nb node=x", "web-1")
    assert said["error"].startswith("Traceback")
    assert said["error"].endswith("ValueError: first\nsecond")


@pytest.mark.parametrize("message", ["100%", "%", "x=%", "a=%s", "%(a)s", "a=%*d", {"not": "text"}])
def test_a_message_without_values_has_no_fields(message):
    assert fields_of(line(message)) == {}


def test_a_message_that_stands_for_others_keeps_its_fields(clock):
    bounded = logs.Bounded()
    for number in range(logs.LINES + 5):
        bounded.filter(line("a mistake: code=%s", number))
    clock[0] += logs.PERIOD_S
    after = line("a mistake: code=%s", "x")
    assert bounded.filter(after)
    assert as_json(after)["code"] == "x"
    assert as_json(after)["message"] == "a mistake: code=x (and 5 more like it before)"


async def test_lines_name_what_their_task_works_on_and_only_while_it_does():
    async def work() -> dict:
        return as_json(line("x"))

    with lines_about(run_id="r-1"):
        with lines_about(attempt=2):
            inside = asyncio.create_task(work())
        assert "attempt" not in as_json(line("x"))
        assert as_json(line("of another: run_id=%s", "r-2"))["run_id"] == "r-2"
    assert {name: (await inside)[name] for name in ("run_id", "attempt")} == {"run_id": "r-1", "attempt": 2}
    assert "run_id" not in as_json(line("x"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_a_text(value):
    record = line("the rate is odd: rate=%s", value)
    (told,) = JsonLines("web-1").format(record).splitlines()
    assert json.loads(told, parse_constant=pytest.fail)["rate"] == str(value)

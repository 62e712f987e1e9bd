"""What messages add to is counted by a node itself, and scraped as if the library had counted it."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from sio_server.cluster.backlog import Backlog
from sio_server.conversation.runs import ClaimedRun
from sio_server.dialog.run_meter import RunMeter
from sio_server.gateway.metrics import BUCKETS, LOOP_EVERY_S, Latency, Metrics
from sio_server.store.connection import connect
from sio_server.tasks import end_tasks
from tests.waiting import poll


def scraped(registry: CollectorRegistry) -> str:
    return re.sub(r"(_created\S*) \S+", r"\1 <time>", generate_latest(registry).decode())


def test_latencies_are_scraped_as_a_histogram_of_the_library() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    latency, histogram = (
        Latency("waits", "How long"),
        Histogram("waits", "How long", buckets=BUCKETS, registry=theirs),
    )
    ours.register(latency)
    for seconds in (0.0, BUCKETS[0], 0.3, BUCKETS[-1], 99.0):
        latency.observe(seconds)
        histogram.observe(seconds)
    assert scraped(ours) == scraped(theirs)


async def test_messages_are_scraped_as_counters_of_the_library() -> None:
    metrics, theirs = Metrics(), CollectorRegistry()
    about = "Messages sent to this node, by outcome"
    sends = Counter("roomgraph_sends", about, ["outcome"], registry=theirs)
    for outcome, count in (("new", 2), ("repeated", 0), ("not_a_member", 1)):
        metrics.sends[outcome] += count
        sends.labels(outcome).inc(count)
    metrics.deliveries += 3
    Counter("roomgraph_deliveries", "Entries sent to sessions of this node", registry=theirs).inc(3)
    assert scraped(theirs) in scraped(metrics.registry)


def run(**changed: Any) -> ClaimedRun:
    known: dict[str, Any] = {
        **dict.fromkeys((field.name for field in dataclasses.fields(ClaimedRun)), ""),
        **{"kind": "message", "attempt": 1, "replaces": None, "input": {"ts": "2026-11-23T07:12:00.500Z"}},
    }
    return ClaimedRun(**{**known, **changed})


class Told:
    """What a meter tells, by a clock that stands at `seconds` after 07:12:00 until it is moved."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.said: list[Any] = []
        self.meter = RunMeter(
            lambda: datetime(2026, 11, 23, 7, 12, tzinfo=UTC).timestamp() + self.seconds,
            lambda waited, taken_over: self.said.append((round(waited, 3), taken_over)),
            lambda seconds: self.said.append(round(seconds, 3)),
            lambda status, seconds: self.said.append((status, round(seconds, 3))),
        )


def test_a_run_is_measured_from_the_message_on_whichever_node_it_ends() -> None:
    told = Told(2.0)
    metered = told.meter.begin(run(attempt=2))
    told.seconds = 2.25
    metered.first_text()
    told.seconds = 3.0
    metered.end("answered")
    assert told.said == [(1.5, True), 1.75, ("answered", 2.5)]


@pytest.mark.parametrize("changed", [{"kind": "resume"}, {"replaces": 4}, {"input": None}])
def test_what_did_not_begin_with_a_message_is_measured_from_its_claim(changed: dict[str, Any]) -> None:
    told = Told(60.0)
    told.meter.begin(run(**changed)).end("answered")
    assert told.said == [(0.0, False), ("answered", 0.0)]


def test_a_clock_that_was_set_back_makes_no_negative_times() -> None:
    told = Told(0.0)
    metered = told.meter.begin(run())
    told.seconds = -5.0
    metered.end("failed")
    assert told.said == [(0.0, False), ("failed", 0.0)]


async def test_a_late_event_loop_is_measured() -> None:
    metrics = Metrics()
    watching = asyncio.create_task(metrics.watch_loop())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(time.sleep, LOOP_EVERY_S + 0.06)

    async def is_measured() -> bool:
        return metrics.loop_lag.count > 0

    await poll(is_measured, "a measurement")
    await end_tasks([watching])
    assert 'roomgraph_loop_lag_seconds_bucket{le="0.05"} 0.0' in scraped(metrics.registry)


async def test_a_backlog_that_cannot_be_read_is_unknown_and_holds_nobody_up() -> None:
    client = connect("redis://127.0.0.1:1/0")
    backlog = Backlog(client)
    backlog.unfinished_runs = 7
    await backlog.refresh()
    assert math.isnan(backlog.unfinished_runs)
    await client.aclose()

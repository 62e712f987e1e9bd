"""The metrics of a node, for Prometheus."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
RUN_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)  # people wait, models think
LOOP_EVERY_S = 0.25  # how often it is measured whether the event loop is late
_IN_FLIGHT_LIMIT = 10_000


class Metrics:
    """Counters and histograms of one node. Times are in seconds by the monotonic clock."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sessions = Gauge("roomgraph_sessions", "Live sessions on this node", registry=self.registry)
        self.sends = Counts(new=0, repeated=0)  # by outcome
        self.deliveries = 0
        self.gap_entries = Counter(
            "roomgraph_gap_entries",
            "Entries read from the log because the bus had lost them",
            registry=self.registry,
        )
        self.runs = Counter(
            "roomgraph_runs", "Runs ended by this node, by status", ["status"], registry=self.registry
        )
        self.append_latency = Latency("roomgraph_append_seconds", "From request to log")
        self.fanout_latency = Latency(
            "roomgraph_fanout_seconds", "From append by this node to the writes to its sessions, over the bus"
        )
        self.redis_latency = Latency("roomgraph_redis_seconds", "Of a heartbeat in Redis, there and back")
        self.loop_lag = Latency("roomgraph_loop_lag_seconds", "How late the event loop that serves clients is")
        for collector in (
            _Traffic(self),
            self.append_latency,
            self.fanout_latency,
            self.redis_latency,
            self.loop_lag,
        ):
            self.registry.register(collector)
        for library in (ProcessCollector, PlatformCollector, GCCollector):
            library(registry=self.registry)
        self.refused_handshakes = Counter(
            "roomgraph_refused_handshakes", "Handshakes refused, by code", ["code"], registry=self.registry
        )
        self.refused_requests = Counter(
            "roomgraph_refused_requests",
            "Requests refused, by event and code",
            ["event", "code"],
            registry=self.registry,
        )
        self.run_wait = self._of_runs("roomgraph_run_wait_seconds", "From a message to the claim of its run")
        self.first_text = self._of_runs(
            "roomgraph_first_text_seconds", "From a message to the first text of its answer, for each attempt"
        )
        self.run_duration = self._of_runs(
            "roomgraph_run_seconds", "From a message to the end of its run, by status", ["status"]
        )
        self.takeovers = Counter(
            "roomgraph_takeovers",
            "Runs that this node has taken over: their node ended, or handed them over",
            registry=self.registry,
        )
        self.drops = Counter(
            "roomgraph_drops", "Connections that the node ended, by reason", ["reason"], registry=self.registry
        )
        self.webhooks = Counter(
            "roomgraph_webhooks",
            "Webhooks that this node has sent, by endpoint and outcome (delivered, failed); dropped: times that "
            "entries were dropped without being delivered",
            ["endpoint", "outcome"],
            registry=self.registry,
        )
        self.api_requests = Counter(
            "roomgraph_api_requests",
            "Requests of backends, by operation and HTTP status",
            ["operation", "status"],
            registry=self.registry,
        )
        self.api_latency = Latency("roomgraph_api_seconds", "From a request of a backend to its answer")
        self.registry.register(self.api_latency)
        self.schedules = Counter(
            "roomgraph_schedules",
            "Scheduled messages that this node has carried out, by outcome (appended, refused)",
            ["outcome"],
            registry=self.registry,
        )
        self.search_latency = Latency("roomgraph_search_seconds", "From a search to its answer")
        self.registry.register(self.search_latency)
        self.searched_entries = Counter(
            "roomgraph_searched_entries", "Entries that searches have looked at", registry=self.registry
        )
        self.sweep_failures = Counter(
            "roomgraph_sweep_failures",
            "Users, conversations and objects that a sweep failed with, by phase (deletion, archive, retention)",
            ["phase"],
            registry=self.registry,
        )
        self._task_failures = Counter(
            "roomgraph_background_task_failures",
            "Times that a background task ended by itself and was started again, by task",
            ["task"],
            registry=self.registry,
        )
        tasks = Gauge("roomgraph_tasks", "Tasks of the event loop that serves clients", registry=self.registry)
        tasks.set_function(lambda: len(asyncio.all_tasks()))
        self._appended: dict[tuple[str, int], float] = {}

    def watch_bus(self, messages: Callable[[], int], channels: Callable[[], int]) -> None:
        """Report how many messages the node has heard on the bus, and on how many channels it listens."""
        self.registry.register(_BusMessages(messages))
        gauge = Gauge("roomgraph_bus_channels", "Channels of rooms that this node hears", registry=self.registry)
        gauge.set_function(channels)

    def watch_shards(self, shards: Callable[[], Sequence[Shard]]) -> None:
        """Report how long nothing was heard of each shard of a Redis Cluster."""
        self.registry.register(_Shards(shards))

    def _of_runs(self, name: str, about: str, labels: Sequence[str] = ()) -> Histogram:
        return Histogram(name, about, labels, buckets=RUN_BUCKETS, registry=self.registry)

    def tell_build(self, **facts: str) -> None:
        """Report what this node is: its version, and what else distinguishes it."""
        Info("roomgraph_build", "What this node is", registry=self.registry).info(facts)

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Report a value that is read when it is asked for."""
        Gauge(name, about, registry=self.registry).set_function(read)

    async def watch_loop(self) -> None:
        """Measure how late the event loop is, until cancelled."""
        while True:
            slept_at = time.monotonic()
            await asyncio.sleep(LOOP_EVERY_S)
            self.loop_lag.observe(max(0.0, time.monotonic() - slept_at - LOOP_EVERY_S))

    def run_claimed(self, waited_s: float, *, taken_over: bool) -> None:
        """This node has claimed a run, for the first time or from another node."""
        if taken_over:
            self.takeovers.inc()
        else:
            self.run_wait.observe(waited_s)

    def api_answered(self, operation: str, status: int, seconds: float) -> None:
        """A request of a backend was answered; 499: it has left before."""
        self.api_requests.labels(operation, str(status)).inc()
        self.api_latency.observe(seconds)

    def append_pending(self, conversation_id: str, seq: int, began: float) -> None:
        """An append of this node that began at `began` got `seq`; `append_returned` ends the measurement."""
        if len(self._appended) < _IN_FLIGHT_LIMIT:
            self._appended[conversation_id, seq] = began

    def task_failed(self, name: str) -> None:
        """A supervised task has ended by itself: for `Supervisor(on_failure=...)`."""
        self._task_failures.labels(name).inc()

    def append_returned(self, conversation_id: str, seq: int) -> None:
        """The entry of an append has come back over the bus."""
        began = self._appended.pop((conversation_id, seq), None)
        if began is not None:
            self.fanout_latency.observe(time.monotonic() - began)


# What every message adds to is counted in plain numbers, in one event loop, and given to the library when it is
# scraped: the library's own counters take a lock each time.


class Latency:
    """A histogram of durations in seconds."""

    def __init__(self, name: str, documentation: str) -> None:
        self._family = name, documentation
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0
        self._created = time.time()

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self._counts)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For the registry."""
        bounds = [*map(floatToGoString, (*BUCKETS, float("inf")))]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        family = HistogramMetricFamily(*self._family, buckets=buckets, sum_value=self._sum)
        family.add_sample(self._family[0] + "_created", {}, self._created)
        yield family


class _Traffic:
    """The counters of messages."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._created = time.time()

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For the registry."""
        sends = CounterMetricFamily(
            "roomgraph_sends", "Messages sent to this node, by outcome", labels=["outcome"]
        )
        for outcome, count in self._metrics.sends.items():
            sends.add_metric([outcome], count, self._created)
        yield sends
        yield CounterMetricFamily(
            "roomgraph_deliveries",
            "Entries sent to sessions of this node",
            value=self._metrics.deliveries,
            created=self._created,
        )


class _Shards:
    """Reads how the shards are when it is asked for."""

    def __init__(self, shards: Callable[[], Sequence[Shard]]) -> None:
        self._shards = shards

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For the registry."""
        about = "How long nothing was heard of a shard of the Redis Cluster: redis, bus"
        silent = GaugeMetricFamily("roomgraph_shard_silent_seconds", about, labels=("shard", "of"))
        away = GaugeMetricFamily("roomgraph_shard_away", "Whether a shard is away, from here", labels=("shard",))
        for shard in self._shards():
            silent.add_metric((shard.name, "redis"), shard.redis_s)
            silent.add_metric((shard.name, "bus"), shard.bus_s)
            away.add_metric((shard.name,), float(shard.is_away))
        yield silent
        yield away


class Shard(Protocol):
    """How long ago a shard of a Redis Cluster has answered, and this node has heard itself there (seconds)."""

    @property
    def name(self) -> str: ...
    @property
    def redis_s(self) -> float: ...
    @property
    def bus_s(self) -> float: ...
    @property
    def is_away(self) -> bool: ...


class _BusMessages:
    """Reads a count when it is asked for."""

    def __init__(self, messages: Callable[[], int]) -> None:
        self._messages = messages

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For the registry."""
        yield CounterMetricFamily(
            "roomgraph_bus_messages", "Messages that this node has heard on the bus", value=self._messages()
        )

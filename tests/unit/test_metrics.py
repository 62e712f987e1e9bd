"""What messages add to is counted by a node itself, and scraped as if the library had counted it."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from sio_server.gateway.metrics import BUCKETS, Latency, Metrics


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

"""Whether a Redis keeps what it is given: version, file, memory, replicas, modules, clock, and the way to it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roomgraph.doctor.findings import Fact, Finding, bad, good, unknown, warn
from roomgraph.doctor.redis_facts import RedisFacts

OLDEST = (6, 2)
SLOW_MS = 5.0  # a send waits for one round trip, and for the disk
CLOCK_S = 1.0  # how far this machine's clock may be from Redis'
CLOCK_BAD_S = 60.0  # as far tokens may be from the future
NEARLY_FULL = 0.85
PUBSUB_BYTES = 32 * 1024 * 1024  # the hard limit of a subscriber's buffer, as Redis has it by default
MODULES = ({"rejson", "json"}, {"search", "searchlight"})  # their names in Redis and elsewhere


def judge_redis(
    facts: RedisFacts, *, checkpointer: str, durable: int = 0, in_cluster: bool = False
) -> list[Finding]:
    """What is to be said of it. `durable`: DURABLE_REPLICAS. Of a server in a cluster that is one of several."""
    findings = [*_way(facts), *_clock(facts)]
    if facts.info is None:
        return [*findings, unknown(Fact.REDIS_NO_RIGHTS), *_modules(facts, checkpointer)]
    return [
        *_server(facts, in_cluster=in_cluster),
        *findings,
        *_persistence(facts),
        *_memory(facts),
        *(() if in_cluster else _replicas(facts, durable)),
        *_buffers(facts),
        *_modules(facts, checkpointer),
    ]


def _server(facts: RedisFacts, *, in_cluster: bool) -> Iterator[Finding]:
    info = facts.info or {}
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version", ""))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    yield (good if numbers >= OLDEST else bad)(
        Fact.REDIS_GOOD if numbers >= OLDEST else Fact.REDIS_OLD, name=name, version=version
    )
    if int(info.get("loading", 0)):
        yield warn(Fact.REDIS_LOADING)
    if info.get("role") not in (None, "master"):
        yield bad(Fact.REDIS_IS_REPLICA)
    if int(info.get("cluster_enabled", 0)) and not in_cluster:
        yield bad(Fact.REDIS_IS_CLUSTER)


def _way(facts: RedisFacts) -> Iterator[Finding]:
    ms = round(facts.round_trip_ms, 1)
    yield good(Fact.REDIS_NEAR, ms=ms) if ms < SLOW_MS else warn(Fact.REDIS_SLOW, ms=ms)


def _clock(facts: RedisFacts) -> Iterator[Finding]:
    away_s = abs(facts.clock_ahead_s)
    if away_s < CLOCK_S:
        yield good(Fact.CLOCK_GOOD, ms=round(away_s * 1000))
    else:
        yield (bad if away_s >= CLOCK_BAD_S else warn)(Fact.CLOCK_WRONG, seconds=round(away_s, 1))


def _persistence(facts: RedisFacts) -> Iterator[Finding]:
    info = facts.info or {}
    if not int(info.get("aof_enabled", 0)):
        yield bad(Fact.REDIS_NO_FILE)
        return
    status = {info.get("aof_last_write_status", "ok"), info.get("aof_last_bgrewrite_status", "ok")} - {"ok"}
    if status:
        yield bad(Fact.REDIS_FILE_FAILS, status=", ".join(map(str, status)))
    fsync = facts.config.get("appendfsync")
    if fsync is None:
        yield unknown(Fact.REDIS_SYNC_UNKNOWN)
    elif fsync != "always":
        yield warn(Fact.REDIS_SYNCS_LATE, fsync=fsync)
    elif not status:
        yield good(Fact.REDIS_WRITES)


def _memory(facts: RedisFacts) -> Iterator[Finding]:
    info = facts.info or {}
    policy = str(info.get("maxmemory_policy", "noeviction"))
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    # Without a limit nothing is evicted, until somebody sets one.
    if policy != "noeviction":
        yield (bad if limit else warn)(Fact.REDIS_EVICTS, policy=policy)
    if not limit:
        yield warn(Fact.REDIS_NO_LIMIT)
    elif used > NEARLY_FULL * limit:
        yield warn(Fact.REDIS_NEARLY_FULL, used=used >> 20, limit=limit >> 20)


def _replicas(facts: RedisFacts, durable: int) -> Iterator[Finding]:
    count = int((facts.info or {}).get("connected_slaves", 0))
    if count < durable:
        yield bad(Fact.REPLICAS_TOO_FEW, server="REDIS_URL", count=count, wanted=durable)
        return
    yield good(Fact.REDIS_REPLICAS, count=count) if count else warn(Fact.REDIS_NO_REPLICA)


def _buffers(facts: RedisFacts) -> Iterator[Finding]:
    limits = str(facts.config.get("client-output-buffer-limit", ""))
    found = re.search(r"pubsub (\d+) (\d+) (\d+)", limits)
    if found and 0 < int(found[1]) < PUBSUB_BYTES:
        yield warn(Fact.REDIS_BUFFER_SMALL, limits=found[0])


def _modules(facts: RedisFacts, checkpointer: str) -> Iterator[Finding]:
    if checkpointer != "redis" or facts.modules is None:
        return
    if not all(names & facts.modules for names in MODULES):
        yield bad(Fact.REDIS_NO_MODULES)

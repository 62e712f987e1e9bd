"""An examination: the settings, Redis, and the addresses that were given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from redis.exceptions import RedisError

from roomgraph.doctor.findings import Fact, Finding, Level, bad
from roomgraph.doctor.proxy_checks import check_url
from roomgraph.doctor.redis_checks import judge_redis
from roomgraph.doctor.redis_facts import RedisFacts, read_facts
from roomgraph.doctor.service_checks import check_services
from roomgraph.doctor.settings_checks import check_identity, judge_settings, problems_of
from roomgraph.doctor.topology_checks import judge_cluster, judge_durability, judge_sentinels
from roomgraph.doctor.topology_facts import read_cluster, read_sentinels, url_of
from sio_server.open_files import raise_open_files
from sio_server.redis_url import RedisUrl, parse_redis_url
from sio_server.settings import Settings, SettingsError, hide_password, load_settings, redis_url_or_default
from sio_server.store.connection import connect_patient


async def examine(urls: Sequence[str]) -> list[Finding]:
    """Everything; without addresses the settings of the environment, and Redis."""
    if urls:
        return [finding for url in urls for finding in await check_url(url)]
    settings, findings = problems_of(load_settings)
    if settings is not None:
        findings += judge_settings(settings, raise_open_files())
        findings += [*await check_identity(settings), *await check_services(settings)]
    return findings + await _examine_redis(settings)


async def _examine_redis(settings: Settings | None) -> list[Finding]:
    try:
        url = redis_url_or_default()
    except SettingsError:
        return []  # said with the settings
    checkpointer, durable = (settings.checkpointer, settings.durable_replicas) if settings else ("plain", 0)
    return await examine_redis(url, checkpointer=checkpointer, durable=durable)


async def examine_redis(url: str, *, checkpointer: str, durable: int) -> list[Finding]:
    """One Redis, the primary that sentinels name with these, or a cluster with all of its primaries."""
    at = parse_redis_url(url)
    findings: list[Finding] = []
    try:
        if at.kind == "cluster":
            return [finding async for finding in _examine_cluster(at, checkpointer, durable)]
        if at.kind == "sentinel":
            findings += [*judge_sentinels(await read_sentinels(at)), *judge_durability(durable)]
        return findings + judge_redis(await _facts(url), checkpointer=checkpointer, durable=durable)
    except (RedisError, OSError, TimeoutError) as exc:
        reason = str(exc) or type(exc).__name__
        return [*findings, bad(Fact.REDIS_UNREACHABLE, url=hide_password(url), reason=reason)]


async def _examine_cluster(at: RedisUrl, checkpointer: str, durable: int) -> AsyncIterator[Finding]:
    """The cluster, and each primary: what is well is said of the first only."""
    cluster = await read_cluster(at)
    for finding in judge_cluster(cluster, durable=durable):
        yield finding
    for number, server in enumerate(sorted(cluster.replicas)):
        facts = await _facts(url_of(at, server))
        for finding in judge_redis(facts, checkpointer=checkpointer, in_cluster=True):
            if number == 0 or finding.level is not Level.GOOD:
                yield replace(finding, values={"server": server, **finding.values})


async def _facts(url: str) -> RedisFacts:
    client = connect_patient(url)
    try:
        return await read_facts(client)
    finally:
        await client.aclose()

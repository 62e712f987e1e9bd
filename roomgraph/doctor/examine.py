"""An examination: the settings, Redis, and the addresses that were given."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import RedisError

from roomgraph.doctor.findings import Fact, Finding, bad
from roomgraph.doctor.proxy_checks import check_url
from roomgraph.doctor.redis_checks import judge_redis
from roomgraph.doctor.redis_facts import read_facts
from roomgraph.doctor.settings_checks import check_identity, judge_settings, problems_of
from sio_server.open_files import raise_open_files
from sio_server.redis_url import parse_redis_url
from sio_server.settings import Settings, SettingsError, hide_password, load_settings, redis_url_or_default
from sio_server.store.connection import connect, connect_patient


async def examine(urls: Sequence[str]) -> list[Finding]:
    """Everything; without addresses the settings of the environment, and Redis."""
    if urls:
        return [finding for url in urls for finding in await check_url(url)]
    settings, findings = problems_of(load_settings)
    if settings is not None:
        findings += judge_settings(settings, raise_open_files())
        findings += await check_identity(settings)
    return findings + await _examine_redis(settings)


async def _examine_redis(settings: Settings | None) -> list[Finding]:
    try:
        url = redis_url_or_default()
    except SettingsError:
        return []  # said with the settings
    if parse_redis_url(url).kind == "cluster":
        return await _examine_cluster(url, settings)
    return await _examine_server(url, settings)


async def _examine_cluster(url: str, settings: Settings | None) -> list[Finding]:
    """Each primary of a Redis Cluster."""
    client = connect(url)
    assert client.routed is not None
    try:
        await client.routed.refresh()
        urls = [client.routed.url(server) for server in client.routed.servers]
    except RedisError as exc:
        return [bad(Fact.REDIS_UNREACHABLE, url=hide_password(url), reason=str(exc) or type(exc).__name__)]
    finally:
        await client.aclose()
    return [finding for one in urls for finding in await _examine_server(one, settings, in_cluster=True)]


async def _examine_server(url: str, settings: Settings | None, *, in_cluster: bool = False) -> list[Finding]:
    client = connect_patient(url)
    try:
        facts = await read_facts(client)
    except (RedisError, OSError, TimeoutError) as exc:
        return [bad(Fact.REDIS_UNREACHABLE, url=hide_password(url), reason=str(exc) or type(exc).__name__)]
    finally:
        await client.aclose()
    checkpointer = settings.checkpointer if settings else "plain"
    return judge_redis(facts, checkpointer=checkpointer, in_cluster=in_cluster)

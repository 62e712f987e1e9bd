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
from sio_server.settings import Settings, SettingsError, hide_password, load_settings, redis_url_or_default
from sio_server.store.connection import connect_patient


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
    client = connect_patient(url)
    try:
        facts = await read_facts(client)
    except (RedisError, OSError, TimeoutError) as exc:
        return [bad(Fact.REDIS_UNREACHABLE, url=hide_password(url), reason=str(exc) or type(exc).__name__)]
    finally:
        await client.aclose()
    return judge_redis(facts, checkpointer=settings.checkpointer if settings else "plain")

"""The doctor on real sentinels and a real cluster: who takes over, and what is lost until then."""

from __future__ import annotations

from pathlib import Path

import pytest

from roomgraph.doctor.examine import examine, examine_redis
from roomgraph.doctor.findings import Finding, Level
from tests.conftest import SECRET
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.integration.test_sentinel_connections import SERVICE, sentinel_of
from tests.waiting import poll


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in (("AUTH_SECRET", SECRET), ("AUTH_MODE", "token"), ("CHECKPOINTER", "plain")):
        monkeypatch.setenv(name, value)
    return monkeypatch


def told(findings: list[Finding]) -> dict[str, Level]:
    return {finding.fact: finding.level for finding in findings}


async def test_of_sentinels_it_says_who_answers_and_how_long_a_failure_lasts(
    tmp_path: Path, surroundings: pytest.MonkeyPatch
) -> None:
    async with bare_redis(tmp_path) as primary, sentinel_of(primary, tmp_path, "s3ntinel") as port:
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/{SERVICE}?sentinel_password=s3ntinel"
        surroundings.setenv("REDIS_URL", url)
        surroundings.setenv("DURABLE_REPLICAS", "1")
        findings = await examine([])
        facts = told(findings)
        assert facts["sentinel_silent"] == "bad"  # one of two
        assert facts["sentinels_agree"] == "good"
        assert facts["sentinels_few"] == facts["sentinel_late"] == "warn"
        assert facts["replicas_too_few"] == "bad"
        assert facts["redis_good"] == "good"
        (agree,) = [finding for finding in findings if finding.fact == "sentinels_agree"]
        assert agree.values["primary"] == f"127.0.0.1:{port_of(primary)}"
        assert "s3ntinel" not in repr(findings)


async def test_of_a_cluster_it_says_which_slots_and_replicas_are_missing(
    tmp_path: Path, surroundings: pytest.MonkeyPatch
) -> None:
    async with bare_redis(tmp_path, "--cluster-enabled", "yes") as server:

        async def facts(durable: int = 0) -> dict[str, Level]:
            url = f"redis+cluster://127.0.0.1:{port_of(server)}"
            return told(await examine_redis(url, checkpointer="plain", durable=durable))

        async def is_covered() -> bool:
            return (await facts()).get("cluster_covered") == "good"

        await server.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
        assert (await facts())["cluster_not_covered"] == "bad"
        await server.execute_command("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        await poll(is_covered, "the cluster is whole", 20)
        found = await facts()
        assert found["cluster_no_replica"] == found["cluster_late"] == found["not_durable"] == "warn"
        assert found["redis_no_file"] == "bad"
        assert found["cluster_all_or_nothing"] == "warn"
        assert "redis_is_cluster" not in found
        surroundings.setenv("REDIS_URL", f"redis+cluster://127.0.0.1:{port_of(server)}")
        by_settings = told(await examine([]))
        assert by_settings["settings_good"] == by_settings["cluster_covered"] == "good"
        await server.config_set("cluster-require-full-coverage", "no")
        assert "cluster_all_or_nothing" not in await facts()
        assert (await facts(durable=1))["replicas_too_few"] == "bad"

"""The dashboard and the alerts ask for what nodes tell, and Prometheus' own tool accepts them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client import generate_latest

from sio_server.gateway.metrics import Metrics
from sio_server.gateway.transport.drop_reasons import DropReason
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.errors import ErrorCode, RoomgraphError
from sio_server.protocol.run import RunStatus
from sio_server.store.shard_health import ShardHealth
from tests.conftest import ClientFactory
from tests.waiting import poll

ROOT = Path(__file__).parents[2]
FILES = ROOT / "deploy" / "observability"
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text())
(GROUP,) = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()

METRIC = re.compile(r"\b(?:roomgraph|process|python)_[a-z_]+\b")
PROMETHEUS_OWN = {"up"}
LABELS: dict[str, set[str]] = {
    "code": {*ErrorCode},
    "status": {*RunStatus, "5.."},
    "reason": {*DropReason},
    "outcome": {"failed", "dropped", ErrorCode.UNAVAILABLE},
}


def expressions() -> Iterator[tuple[str, str]]:
    """Each query, with where it stands."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    for rule in RULES:
        yield rule["alert"], rule["expr"]


EXPRESSIONS = list(expressions())


def told_on_a_redis_cluster() -> str:
    """What a node tells besides when it is on a Redis Cluster."""
    alone, on_cluster = Metrics(), Metrics()
    on_cluster.watch_shards(lambda: [ShardHealth("10.0.0.21:6379", 0.1, 0.1)])
    known = generate_latest(alone.registry).decode()
    return "\n".join(
        line
        for line in generate_latest(on_cluster.registry).decode().splitlines()
        if line.startswith("# TYPE ") and line not in known
    )


async def test_every_query_asks_for_what_a_node_tells_and_every_figure_is_shown(cluster: LocalCluster) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{cluster.urls[0]}/metrics") as response:
        scraped = await response.text()
    shards = told_on_a_redis_cluster()
    assert shards.count("# TYPE roomgraph_shard_") == len(shards.splitlines()) == 2
    scraped += "\n" + shards
    told: dict[str, str] = dict(re.findall(r"^# TYPE (\S+) (\S+)$", scraped, re.MULTILINE))
    names = set(told)
    for name, kind in told.items():
        if kind == "histogram":
            names |= {f"{name}_{suffix}" for suffix in ("bucket", "count", "sum")}
    documented = (ROOT / "docs" / "observability.md").read_text()
    ours = [name for name in told if name.startswith("roomgraph_") and not name.endswith("_created")]
    assert [name for name in ours if f"`{name}" not in documented] == []
    asked = {(where, name) for where, query in EXPRESSIONS for name in METRIC.findall(query)}
    assert len(asked) > 50
    assert {(where, name) for where, name in asked if name not in names} == set()
    shown = {re.sub("_(bucket|count|sum)$", "", name) for _, name in asked}
    assert [name for name in ours if name not in shown] == [], "neither a panel nor an alert asks for it"


@pytest.mark.parametrize(("where", "query"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_a_query_names_labels_and_values_that_exist(where: str, query: str) -> None:
    for label, value in re.findall(r'(\w+)="([^"$]*)"', query):
        if label in LABELS:
            assert value in LABELS[label]
        else:
            assert (label, value) == ("job", "roomgraph")


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_each_alert_is_tried_with_figures_that_make_it_fire(rule: dict[str, Any]) -> None:
    tried = yaml.safe_load((FILES / "alerts.test.yaml").read_text())["tests"]
    fired = {one["alertname"] for group in tried for one in group["alert_rule_test"] if one["exp_alerts"]}
    assert rule["alert"] in fired


def test_the_documentation_counts_the_alerts() -> None:
    assert f"| `alerts.yaml` | {len(RULES)} alerts" in (ROOT / "docs" / "observability.md").read_text()


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_the_runbook_has_a_chapter_for_each_alert(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert page == "docs/runbook.md"
    headings = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert rule["labels"]["severity"] in ("page", "warn")


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "arguments", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts.test.yaml")], ids=["check", "test"]
)
def test_prometheus_accepts_the_alerts_and_they_fire_when_they_should(arguments: tuple[str, ...]) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run([tool, *arguments], cwd=FILES, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


async def figures(cluster: LocalCluster) -> Counter[str]:
    """The samples of all nodes together."""
    found: Counter[str] = Counter()
    async with aiohttp.ClientSession() as http:
        for url in cluster.urls:
            async with http.get(f"{url}/metrics") as response:
                for line in (await response.text()).splitlines():
                    if not line.startswith("#"):
                        sample, _, value = line.rpartition(" ")
                        found[sample] += float(value)  # type: ignore[assignment]
    return found


async def test_nodes_tell_how_long_runs_take_and_what_they_refuse(
    cluster: LocalCluster, new_client: ClientFactory
) -> None:
    before = await figures(cluster)
    client = await new_client("Ann")
    conversation = await client.create()
    await conversation.send("hello")
    with pytest.raises(RoomgraphError):
        await client.join("no-such-conversation")
    with pytest.raises(RoomgraphError):
        await new_client(token="no token")
    grown = {
        "roomgraph_run_wait_seconds_count",
        "roomgraph_first_text_seconds_count",
        'roomgraph_run_seconds_count{status="answered"}',
        'roomgraph_runs_total{status="answered"}',
        'roomgraph_refused_handshakes_total{code="token_invalid"}',
        'roomgraph_refused_requests_total{code="unknown_conversation",event="conversation:join"}',
    }

    async def have_grown() -> bool:
        now = await figures(cluster)
        return all(now[sample] > before[sample] for sample in grown)

    await poll(have_grown, "what nodes tell", 20)
    now = await figures(cluster)
    assert now["roomgraph_unfinished_runs"] >= 0
    assert now["roomgraph_ready"] == len(cluster.urls)

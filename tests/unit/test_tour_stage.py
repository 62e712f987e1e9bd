"""Parts of the tour's stage that need no cluster."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from roomgraph.check.checker import check
from roomgraph.check.file import read_history
from roomgraph.cli.options import Topology, topology_for
from roomgraph.tour.chaos import timeline
from roomgraph.tour.play import BREAKING, SCENES, SPARE_SCENES, check_scenes
from roomgraph.tour.player import Happening
from roomgraph.tour.schedule import ActionKind, FaultKind
from roomgraph.tour.stage import Stage
from sio_server.language import load_texts
from sio_server.local.cluster import LocalCluster


def stage(language: str = "en") -> Stage:
    console = Console(file=io.StringIO(), width=80)
    texts = load_texts(language, "roomgraph", "tour")
    return Stage(["http://127.0.0.1:9000"], console, texts, 3, alone=True, nodes=None)


def test_a_history_that_is_kept_is_judged_the_same_when_it_is_read_again() -> None:
    one = stage()
    one.recorder.begin_send("c", "m-1", "Ann", "hello", 1.0)
    one.recorder.end_send("m-1", "ok", 2.0, ("e", 1))
    one.recorder.log("c")
    path = Path(one.keep_history("roomgraph-test-"))
    try:
        assert path.name.startswith("roomgraph-test-")
        report = check(read_history(path))
        assert report == one.judge()
        assert [anomaly.kind for anomaly in report.anomalies] == ["lost_acked"]
    finally:
        path.unlink()


def test_a_scene_that_breaks_things_is_not_played_on_a_cluster_of_others() -> None:
    with pytest.raises(RuntimeError, match="one that was started for it"):
        stage().own_cluster()


def test_times_are_told_in_both_languages() -> None:
    assert (stage().seconds(1.234), stage().seconds(2, "after"), stage().seconds(None)) == (
        "1.23 s",
        "after 2.00 s",
        "never",
    )
    assert stage("zh").seconds(None) == "始终未达到"


@pytest.mark.parametrize("topology", ["single", "sentinel", "cluster"])
def test_the_chaos_is_played_on_each_topology(tmp_path: Path, topology: Topology) -> None:
    assert topology_for(["chaos"], topology) == topology
    cluster = LocalCluster(9000, 3, tmp_path, proxied=True, topology=topology)
    assert list(cluster.node_proxies) == cluster.ports
    # Nodes find servers by themselves, but for a single one.
    assert list(cluster.redis_proxies) == (cluster.ports if topology == "single" else [])


def test_spare_scenes_are_played_only_when_they_are_named() -> None:
    assert check_scenes(None) == check_scenes([]) == list(SCENES)
    assert check_scenes(["chaos", "status"]) == ["status", "chaos"]
    breaking = {"node-failure", "latency", "chaos", "redis-failover", "reshard"}
    assert breaking == BREAKING == SPARE_SCENES.keys() - {"load"}
    with pytest.raises(ValueError, match="no such scene"):
        check_scenes(["chaos", "quiet"])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_timeline_of_a_chaos_shows_every_fault_and_action_within_80_columns(language: str) -> None:
    one = stage(language)
    one.duration = 36.0
    kinds = [*FaultKind, *ActionKind]
    happened = [Happening(kind, 100.0 + number, ended=102.0 + number) for number, kind in enumerate(kinds)]
    faults = [*happened[: len(FaultKind)], Happening(FaultKind.NODE_KILL, 130.0)]  # the last one is still on
    actions = happened[len(FaultKind) :]
    one.console.print(timeline(one, [faults, actions], began=100.0, now=133.5))
    assert isinstance(one.console.file, io.StringIO)
    lines = [line for line in one.console.file.getvalue().splitlines() if "█" in line]
    assert len(lines) == len(kinds)
    assert all(cell_len(line) <= 80 for line in lines)
    bars = [line.rstrip()[-36:] for line in lines]
    assert bars[0] == "███" + "·" * 27 + "████" + "··"
    assert bars[1] == "·███" + "·" * 32
    assert bars[-1].index("█") == len(kinds) - 1


@pytest.mark.parametrize("value", ["[embedded]", "[/x]", ":smile:", "[bold]x[/]"])
def test_what_is_filled_into_a_line_of_the_tour_is_shown_as_it_is(value: str) -> None:
    one = stage()
    one.say("history.kept", path=value)
    one.quote(value, "cyan", value)
    one.verdict(False, "crashed", reason=value)
    said = [line.strip() for line in one.console.file.getvalue().splitlines() if line.strip()]  # type: ignore[attr-defined]
    assert said[-2:] == [f"{value}: {value}", f"✘ The scene could not be played: {value}"]
    assert f"{value}: roomgraph check {value}" in " ".join(said)

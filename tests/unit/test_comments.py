"""What is taken out of a module before it is sent, and that nothing else is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from sio_server.gateway.http.comments import strip_comments

WEB = Path(__file__).parents[2] / "web"
OURS = sorted(
    path
    for folder in ("js", "sdk/src", "css")
    for path in (WEB / folder).rglob("*")
    if path.suffix in {".js", ".css"}
)


def test_comments_go_and_the_others_keep_their_place() -> None:
    source = '// Why.\nconst a = "//"; // what\n  /** What\n   * it is. */\nb(`/*`);\n/* one line */\nc();\n'
    assert strip_comments(source) == '\nconst a = "//";\n\n\nb(`/*`);\n\nc();\n'


@pytest.mark.parametrize(
    "code",
    [
        'f("a; // b");',
        "f('a, // b');",
        "f(`a) // b`);",
        'const at = "x; // y"; // "z',
        "a / b // c",
        "url(http://a)",
    ],
)
def test_what_may_be_a_part_of_the_code_stays(code: str) -> None:
    assert strip_comments(code) == code.removesuffix(' // "z')


def test_all_modules_mean_the_same_without_their_comments() -> None:
    """Compared as TypeScript prints them; its printer drops the comments that are left."""
    pairs = {
        str(path): (path.read_text(), strip_comments(path.read_text())) for path in OURS if path.suffix == ".js"
    }
    script = """
        const ts = require("typescript");
        const pairs = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const options = { removeComments: true, target: "esnext", module: "esnext" };
        const plain = (code) => ts.transpileModule(code, { compilerOptions: options }).outputText;
        const other = Object.keys(pairs).filter((name) => plain(pairs[name][0]) !== plain(pairs[name][1]));
        console.log(other.join());
    """
    ran = subprocess.run(
        ["node", "-e", script], input=json.dumps(pairs), cwd=WEB, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "\n"


def test_code_after_a_comment_on_its_first_line_is_not_taken_for_a_comment() -> None:
    assert strip_comments("a /* b\nc */ d") == "a /* b\nc */ d"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_modules_have_no_line_that_only_looks_like_a_comment(path: Path) -> None:
    source = path.read_text()
    for literal in re.findall(
        r"`(?:[^`\\]|\\.)*`", "\n".join(re.sub(r"^\s*//.*", "", line) for line in source.split("\n"))
    ):
        assert not re.search(r"\n\s*(//|/\*)", literal), literal
    for line in source.split("\n"):
        text = line.strip()
        assert not text.startswith("/*") or "*/" not in text or text.endswith("*/"), line

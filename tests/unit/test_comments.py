"""What is taken out of a module before it is sent, and that nothing else is."""

from __future__ import annotations

import re
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


def test_comments_on_lines_of_their_own_go_and_the_others_keep_their_place() -> None:
    source = '// Why.\nconst a = "//"; // stays\n  /** What\n   * it is. */\nb(`/*`);\n/* one line */\nc();\n'
    assert strip_comments(source) == '\nconst a = "//"; // stays\n\n\nb(`/*`);\n\nc();\n'


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

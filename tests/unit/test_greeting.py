"""The first line of `roomgraph chat`."""

from __future__ import annotations

import io

from rich.console import Console

from roomgraph.chat import greet


def test_the_greeting_is_one_line_however_long_the_title_is():
    written = io.StringIO()
    for length in range(1, 80):
        greet(Console(file=written, width=80), "r" * length, "node-1")
    assert all(line.endswith("Ctrl-D ends") for line in written.getvalue().splitlines())

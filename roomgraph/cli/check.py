"""`roomgraph check`: whether a recorded history kept the promises."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roomgraph.cli.console import MISTAKE, console, fail
from roomgraph.cli.options import Lang, language_or_fail


def check_command(
    history: Annotated[Path, typer.Argument(help="The file: one JSON object in each line (docs/checking.md).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lang: Lang = None,
) -> None:
    """Judge a recorded history: what devices sent, received and showed, against what was promised.

    Exit status 0 when every promise was kept, 1 when one was broken, 2 when the file is not a history.
    """
    from roomgraph.check.checker import check
    from roomgraph.check.file import BadHistory, read_history
    from roomgraph.check.show import facts, show
    from sio_server.language import load_texts

    texts = load_texts(language_or_fail(lang), "roomgraph", "check")
    try:
        recorded = read_history(history)
    except OSError as exc:
        fail(texts("unreadable", path=history, reason=exc.strerror), MISTAKE)
    except BadHistory as exc:
        fail(texts("bad", path=history, line=exc.line, reason=exc.reason), MISTAKE)
    report = check(recorded)
    if as_json:
        console.print_json(data=facts(report))
    else:
        show(console, texts, str(history), recorded, report)
    raise typer.Exit(0 if report.ok else 1)

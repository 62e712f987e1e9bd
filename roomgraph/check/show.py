"""A report for the terminal, and as facts for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from roomgraph.check.checker import PROMISES, Report
from roomgraph.check.history import RESOLVED, History
from sio_server.language import Texts
from sio_server.protocol.names import printable


def facts(report: Report) -> dict[str, Any]:
    """The report as JSON has it: `ok`, the figures, and `anomalies`, a list."""
    found = asdict(report)
    anomalies = found.pop("anomalies")
    return {"ok": report.ok, **found, "anomalies": anomalies}


def show(console: Console, texts: Texts, path: str, history: History, report: Report) -> None:
    """Print the figures, each promise with how often it was broken, and every anomaly."""
    console.print(Rule(escape(texts("title", path=path)), align="left", style="blue"))
    outcomes = Counter(send.outcome for send in history.sends)
    _say(
        console, texts("sent", sent=report.sent, **{name: outcomes[name] for name in ("ok", "failed", "unknown")})
    )
    _say(
        console,
        texts(
            "received",
            received=report.received,
            devices=len({view.device for view in history.views}),
            conversations=len(history.logs),
            entries=sum(map(len, history.logs.values())),
        ),
    )
    shown = sum(len(view.states) for view in history.run_views)
    _say(console, texts("runs", runs=report.runs, steps=len(history.executions), shown=shown))
    if report.resets:
        _say(console, texts("resets", resets=report.resets, forgiven=report.forgiven))

    broken = Counter(str(anomaly.kind) for anomaly in report.anomalies)
    table = Table(box=SIMPLE_HEAD, header_style="bold", collapse_padding=True)
    for column in ("", texts("promise"), texts("broken"), ""):
        table.add_column(column, no_wrap=True, justify="right" if column == texts("broken") else "left")
    for promise in PROMISES:
        name = promise.__name__
        mark, count = "[green]✔[/]", "[dim]0[/]"
        if broken[name]:
            mark, count = "[red]✘[/]", f"[bold red]{broken[name]}[/]"
        elif _untold(name, history, report):
            mark, count = "[dim]·[/]", "[dim]–[/]"
        table.add_row(mark, texts(name), count, f"[dim]{name}[/]")
    console.print(table)

    if not report.ok:
        console.print(Rule(texts("anomalies"), align="left", style="red"))
        for anomaly in report.anomalies:
            where = escape(anomaly.conversation_id or "–")
            _say(console, f"[red]{anomaly.kind}[/] [dim]{where}[/] {escape(printable(anomaly.detail))}")
        console.print()
    mark = "[bold green]✔[/]" if report.ok else "[bold red]✘[/]"
    verdict = texts("held") if report.ok else texts("not_held", count=len(report.anomalies))
    figures = texts("figures", lost=report.lost, duplicated=report.duplicated, reordered=report.reordered)
    _say(console, f"{mark} [bold]{verdict}[/] {figures}")


def _untold(promise: str, history: History, report: Report) -> bool:
    """Whether the history holds nothing by which this promise could have been seen to be broken."""
    match promise:
        case "run_not_ended" | "run_ended_twice" | "stale_end":
            return not report.runs
        case "replaces_other":
            return not any(run.replaces is not None for run in history.runs)
        case "answered_twice":
            return not any(entry.type == RESOLVED for log in history.logs.values() for entry in log)
        case "heard_after_leaving":
            return not history.absences
        case "uninvited":
            return not history.invitations
        case "signed_out_served" | "shut_out":
            return not history.sign_outs
        case "step_repeated":
            return not history.executions
        case "dead_text" | "text_left" | "text_differs":
            return not history.run_views
        case "reset_in_vain":
            return not report.resets
    return not history.sends and not history.views and not history.logs


def _say(console: Console, markup: str) -> None:
    text = Text.from_markup(markup, emoji=False)
    console.print(Padding(text, (0, 0, 0, 2), expand=False), highlight=False)

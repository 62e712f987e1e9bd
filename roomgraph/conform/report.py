"""What a run of the conformance kit found, and how it is printed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sio_server.language import Texts


class Outcome(StrEnum):
    """Whether a rule was kept."""

    PASSED = "passed"
    FAILED = "failed"
    LEFT_OUT = "left_out"  # it could not be tried here


class Broken(Exception):
    """A rule was broken: in words, what happened instead."""


class LeftOut(Exception):
    """A rule cannot be tried here: in words, what it needs."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one rule."""

    rule: str
    outcome: Outcome
    why: str = ""


async def judge(rule: str, play: Callable[[], Awaitable[None]]) -> Verdict:
    """Play one rule. Whatever the other side does, the verdict says so and the next rule can be played."""
    try:
        await play()
    except LeftOut as exc:
        return Verdict(rule, Outcome.LEFT_OUT, str(exc))
    except Broken as exc:
        return Verdict(rule, Outcome.FAILED, str(exc))
    except Exception as exc:
        return Verdict(rule, Outcome.FAILED, f"{type(exc).__name__}: {exc}"[:300])
    return Verdict(rule, Outcome.PASSED)


def conforms(verdicts: Sequence[Verdict]) -> bool:
    """Whether no rule was broken, and at least one was kept."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return Outcome.PASSED in outcomes and Outcome.FAILED not in outcomes


def show(console: Console, texts: Texts, verdicts: Sequence[Verdict]) -> None:
    """Print a table: each rule in words, its outcome, and what happened instead."""
    table = Table(texts("rule"), texts("outcome"), texts("why"), title=texts("title"))
    colours = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.LEFT_OUT: "yellow"}
    for verdict in verdicts:
        outcome = texts(f"outcome.{verdict.outcome}")
        table.add_row(
            texts(f"rule.{verdict.rule}"), f"[{colours[verdict.outcome]}]{outcome}[/]", escape(verdict.why)
        )
    console.print(table)


def show_waiting(console: Console, texts: Texts, **where: str) -> None:
    """Say where a client is waited for, and what it does."""
    console.print(escape(texts("waiting", **where)))

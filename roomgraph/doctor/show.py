"""Findings on the screen, and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from roomgraph.doctor.findings import Finding, Level, is_well
from sio_server.language import Texts

MARKS = {
    Level.GOOD: ("✔", "green"),
    Level.UNKNOWN: ("?", "cyan"),
    Level.WARN: ("!", "yellow"),
    Level.BAD: ("✘", "red"),
}


def show(console: Console, texts: Texts, findings: Sequence[Finding]) -> None:
    """A line for each finding, and one for all."""
    for finding in findings:
        console.print(Text.assemble(MARKS[finding.level], " ", said(texts, finding)), soft_wrap=True)
    verdict = texts("well") if is_well(findings) else texts("unwell")
    console.print(Text(verdict), soft_wrap=True)


def as_data(texts: Texts, findings: Sequence[Finding]) -> dict[str, Any]:
    """The same as JSON."""
    told = [
        {"level": finding.level, "fact": finding.fact, "text": said(texts, finding), **finding.values}
        for finding in findings
    ]
    return {"ok": is_well(findings), "findings": told}


def said(texts: Texts, finding: Finding) -> str:
    """What was found, and what to change."""
    text = texts(finding.fact, **finding.values)
    server = finding.values.get("server", "")
    return text if not server or server in text else f"{server}: {text}"

"""`roomgraph doctor`: what is not as it should be, and what to change."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import urlsplit

import typer

from roomgraph.cli.console import MISTAKE, console, fail
from roomgraph.cli.options import Lang, language_or_fail


def doctor_command(
    urls: Annotated[
        list[str] | None,
        typer.Argument(help="Addresses at which clients reach the nodes, through your proxies."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lang: Lang = None,
) -> None:
    """Check the settings and Redis (without an address), or the way to the nodes (with one).

    Run it where a node runs, with its environment. Exit status 0 when nothing must be changed, 1 otherwise.
    """
    from roomgraph.doctor.examine import examine
    from roomgraph.doctor.findings import is_well
    from roomgraph.doctor.show import as_data, show
    from sio_server.language import load_texts

    texts = load_texts(language_or_fail(lang), "roomgraph", "doctor")
    for url in urls or ():
        if not _is_address(url):
            fail(f"{url}: write an address such as https://chat.example.com", MISTAKE)
    findings = asyncio.run(examine(urls or []))
    if as_json:
        console.print_json(data=as_data(texts, findings))
    else:
        show(console, texts, findings)
    raise typer.Exit(0 if is_well(findings) else 1)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # [ without ], or no number as the port
        return False

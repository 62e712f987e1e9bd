"""`roomgraph chat` and `roomgraph echo-bot`: clients of a running cluster."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from roomgraph.cli.console import MISTAKE, console, fail, run
from roomgraph.cli.options import Urls, urls_or_fail


def chat_command(
    conversation: Annotated[
        str, typer.Argument(help="Id of the conversation; created, open to all, if new.")
    ] = "lobby",
    url: Urls = None,
    name: Annotated[str, typer.Option(help="Your name, on servers that take guests.")] = "",
    token: Annotated[str, typer.Option(envvar="ROOMGRAPH_TOKEN", help="Your token, on servers that do not.")] = "",
    context: Annotated[str, typer.Option(help="Context of a new conversation for its graph, as JSON.")] = "",
) -> None:
    """Talk in the terminal. An empty line is not sent; Ctrl-D ends."""
    from roomgraph.chat import chat

    given = _context(context)
    run(
        lambda: chat(urls_or_fail(url), conversation, name=name, token=token, console=console, context=given),
    )


def _context(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        fail('--context: this is no JSON object. Write one, such as {"product": "kettle"}', MISTAKE)
    return given


def echo_bot_command(
    conversation: Annotated[str, typer.Argument(help="Id of the conversation to join.")],
    url: Urls = None,
    token: Annotated[
        str, typer.Option(envvar="ROOMGRAPH_TOKEN", help="Its token, on servers that do not take guests.")
    ] = "",
) -> None:
    """Run a bot that repeats what people say, until Ctrl-C."""
    from sio_clients.bots.echo import run_echo_bot

    run(lambda: run_echo_bot(urls_or_fail(url), conversation, token=token))

"""`roomgraph chat` and `roomgraph echo-bot`: clients of a running cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from roomgraph.cli.console import console, run
from roomgraph.cli.options import Urls, urls_or_fail


def chat_command(
    conversation: Annotated[
        str, typer.Argument(help="Id of the conversation; created, open to all, if new.")
    ] = "lobby",
    url: Urls = None,
    name: Annotated[str, typer.Option(help="Your name, on servers that take guests.")] = "",
    token: Annotated[str, typer.Option(envvar="ROOMGRAPH_TOKEN", help="Your token, on servers that do not.")] = "",
) -> None:
    """Talk in the terminal. An empty line is not sent; Ctrl-D ends."""
    from roomgraph.chat import chat

    run(lambda: chat(urls_or_fail(url), conversation, name=name, token=token, console=console))


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

"""`roomgraph conform`: whether a server, or a client, keeps the rules of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from roomgraph.cli.console import MISTAKE, console, fail, run
from roomgraph.cli.options import Lang, language_or_fail

if TYPE_CHECKING:
    from roomgraph.conform.report import Verdict
    from sio_server.language import Texts


def conform_command(
    url: Annotated[str, typer.Argument(help="Address of the server to judge.")] = "",
    serve: Annotated[
        int | None, typer.Option("--serve", min=1, max=65_535, help="Judge a client that connects to this port.")
    ] = None,
    token: Annotated[
        list[str] | None,
        typer.Option("--token", help="Tokens of two users (give it twice), on servers that do not take guests."),
    ] = None,
    lang: Lang = None,
) -> None:
    """Play a client's side of every rule against a server, or with --serve a server's side against a client.

    Exit status 0 when every rule that could be tried was kept, 1 when one was broken.
    """
    from roomgraph.conform.report import conforms, show
    from sio_server.language import load_texts

    texts = load_texts(language_or_fail(lang), "roomgraph", "conform")
    tokens = token or []
    if (serve is None) == (not url):
        fail("write the address of a server, or --serve PORT to judge a client", MISTAKE)
    if len(tokens) not in (0, 2):
        fail("--token: give it twice, once for each of two users", MISTAKE)
    verdicts: list[Verdict] = []

    async def play() -> None:
        verdicts.extend(await (_serve(serve, texts) if serve is not None else _judge(url, tokens)))

    run(play)
    show(console, texts, verdicts)
    raise typer.Exit(0 if conforms(verdicts) else 1)


async def _judge(url: str, tokens: Sequence[str]) -> list[Verdict]:
    from roomgraph.conform.server_rules import judge_server
    from sio_clients import guest_token

    ann, bob = tokens or [(await guest_token(url, name))[1] for name in ("Ann", "Bob")]
    return await judge_server(url, (ann, bob))


async def _serve(port: int, texts: Texts) -> list[Verdict]:
    from roomgraph.conform.client_rules import SHOW, judge_client
    from roomgraph.conform.report import show_waiting
    from roomgraph.conform.scripted_room import ROOM
    from roomgraph.conform.scripted_server import ScriptedServer

    server = ScriptedServer()
    try:
        show_waiting(console, texts, url=await server.start(port), conversation=ROOM, show=SHOW)
        return await judge_client(server)
    finally:
        await server.stop()

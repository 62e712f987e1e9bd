"""`roomgraph status`, `token` and `revoke`: what an operator asks and orders."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from roomgraph.cli.console import MISTAKE, console, fail, say

if TYPE_CHECKING:
    from sio_server.store.bounded import BoundedRedis

T = TypeVar("T")

FIGURES = (
    *("active_sessions", "bus_subscriptions", "conversations", "entries"),
    *("runs", "runs_finished", "unfinished_runs"),
)


def status_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the cluster is doing, as Redis (REDIS_URL) tells it. Exit status 1 when something is wrong."""
    from rich.table import Table
    from rich.text import Text

    from sio_server.cluster.status import read_status
    from sio_server.protocol.names import printable

    status: dict[str, Any] = on_redis(read_status)
    if as_json:
        console.print_json(data=status)
        raise typer.Exit(0 if status["healthy"] else 1)
    table = Table("node", "port", "sessions", "started", "version", "state")
    for node in status["nodes"]:
        cells = [node[name] for name in ("name", "port", "sessions", "started", "version", "state")]
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    console.print(table)
    if "shards" in status:
        shards = Table("shard", "partitions", "state")
        for shard in status["shards"]:
            shards.add_row(Text(shard["address"]), str(shard["partitions"]), "ok" if shard["answers"] else "away")
        console.print(shards)
    for name in FIGURES:
        say(f"{name.replace('_', ' ')}: {status[name]}")
    for problem in status["problems"]:
        say(f"✘ {problem}")
    raise typer.Exit(0 if status["healthy"] else 1)


def token_command(
    user_id: Annotated[str, typer.Argument(help="The id of the user, such as ann or ann@example.com.")],
    name: Annotated[str, typer.Option(help="The name that people see (default: the id).")] = "",
    ttl: Annotated[int | None, typer.Option(min=60, help="How long it lasts, in seconds (or TOKEN_TTL).")] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="Make the user an operator (OPERATOR_CLAIM).")
    ] = False,
) -> None:
    """Issue a token for a user, signed with AUTH_SECRET, and print it."""
    from sio_server.gateway.sessions.auth import Tokens
    from sio_server.protocol.errors import RoomgraphError
    from sio_server.settings import SettingsError, load_settings

    try:
        settings = load_settings(token_ttl=ttl)
    except SettingsError as exc:
        fail(str(exc), MISTAKE)
    if not settings.auth_secret:
        fail("AUTH_SECRET is not set: write the secret that the nodes have", MISTAKE)
    tokens = Tokens(
        settings.auth_secrets[0],
        settings.auth_audience,
        issuer=settings.auth_issuer,
        operator=settings.operator_claim,
    )
    try:
        typer.echo(tokens.issue(user_id, name or user_id, settings.token_ttl, operator=operator))
    except RoomgraphError as exc:
        fail(exc.message)


def vapid_command() -> None:
    """Make the keys of Web Push: settings for all nodes. The public key is told to browsers by the nodes."""
    from sio_server.gateway.push.encryption import NoPushLibraries, new_keys

    try:
        private_key, public_key = new_keys()
    except NoPushLibraries:
        fail("install roomgraph[push]", MISTAKE)
    say(f"VAPID_PRIVATE_KEY={private_key}\nVAPID_SUBJECT=mailto:you@example.com\n# the public key: {public_key}")


def revoke_command(
    user_id: Annotated[str, typer.Argument(help="The id of the user whose tokens are to be refused.")],
    device: Annotated[str, typer.Option(help="Only on this device id; other devices may use them further.")] = "",
) -> None:
    """Refuse all tokens of a user that were issued until now, and end the sessions, on all nodes of REDIS_URL.

    Tokens issued later are accepted: stop issuing them first.
    """
    from sio_server.protocol.events import ID_PATTERN, USER_ID_PATTERN
    from sio_server.store.scripts import Scripts
    from sio_server.users.sign_out import ALL_DEVICES, RefusedTokens

    if not re.fullmatch(USER_ID_PATTERN, user_id):
        fail(f"{user_id}: cannot be the id of a user", MISTAKE)
    if device and not re.fullmatch(ID_PATTERN, device):
        fail(f"--device {device}: cannot be the id of a device", MISTAKE)

    async def revoke(redis: BoundedRedis) -> int:
        return await RefusedTokens(redis, Scripts(redis)).revoke(user_id, device or ALL_DEVICES)

    ended = on_redis(revoke)
    of = f"{user_id}, device {device}" if device else user_id
    say(f"{of}: tokens issued until now are refused; sessions ended: {ended}")


def on_redis(work: Callable[[BoundedRedis], Awaitable[T]]) -> T:
    """What `work` returns, given the Redis of REDIS_URL; a Redis that does not answer becomes a message."""
    from sio_server.protocol.errors import RoomgraphError
    from sio_server.settings import SettingsError, durable_replicas_or_default, hide_password, redis_url_or_default
    from sio_server.store.connection import connect

    try:
        url, replicas = redis_url_or_default(), durable_replicas_or_default()
    except SettingsError as exc:
        fail(str(exc), MISTAKE)

    async def main() -> T:
        redis = connect(url, replicas=replicas)
        try:
            return await work(redis)
        finally:
            await redis.aclose()

    try:
        return asyncio.run(main())
    except RoomgraphError as exc:
        advice = "a cluster of `roomgraph up` has it on its port + 379"
        fail(f"{exc.message}. REDIS_URL is {hide_password(url)}; {advice}")

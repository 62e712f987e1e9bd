"""`roomgraph user delete` and `export`: what an operator does with data, on the Redis of REDIS_URL."""

from __future__ import annotations

import os
import re
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from roomgraph.cli.console import MISTAKE, fail, say
from roomgraph.cli.operate import on_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from sio_server.data.archive import Archive
    from sio_server.store.scripts import Scripts

user_app = typer.Typer(help="Delete a user.", no_args_is_help=True)


@user_app.callback()
def _user() -> None:
    """So that `delete` is a command of its own."""


@user_app.command("delete")
def delete_command(
    user_id: Annotated[str, typer.Argument(help="The id of the user.")],
    pseudonymise: Annotated[
        bool, typer.Option("--pseudonymise", help="Keep what the user has written, without the user.")
    ] = False,
) -> None:
    """Delete a user with everything of theirs, or put a pseudonym in their place.

    Stop issuing tokens to the user first. If this is interrupted a node continues, or the same command does. With
    an archive give it the ARCHIVE_URL that the nodes have.
    """
    from sio_server.conversation.log import ConversationLog
    from sio_server.conversation.members import Members
    from sio_server.conversation.quotas import DAY_MS, Quotas
    from sio_server.data.user_deletion import UserDeletion
    from sio_server.store.scripts import Scripts
    from sio_server.users.sign_out import RefusedTokens

    _check(user_id)
    kept_days = _abandoned_kept()

    async def delete(redis: Redis) -> None:
        scripts = Scripts(redis)
        archive = _archive(scripts)
        quotas = Quotas(abandoned_kept_ms=kept_days * DAY_MS)
        members = Members(redis, scripts, ConversationLog(scripts), retention=0, quotas=quotas)
        deletions = UserDeletion(scripts.redis, scripts, members, RefusedTokens(redis, scripts), archive)
        await deletions.begin(user_id, pseudonymise=pseudonymise)
        await deletions.carry_out(user_id)

    on_redis(delete)
    say(f"{user_id}: deleted")


class Exported(StrEnum):
    """What can be exported."""

    CONVERSATION = "conversation"
    USER = "user"


def export_command(
    kind: Annotated[Exported, typer.Argument(help="What is exported.")],
    which: Annotated[str, typer.Argument(metavar="ID", help="The id of the conversation or the user.")],
) -> None:
    """Export a conversation, or a user with all messages by the user, as JSON Lines to the standard output."""
    from sio_server.conversation.log import ConversationLog
    from sio_server.conversation.members import Members
    from sio_server.data.export import Exports
    from sio_server.store.scripts import Scripts

    if kind == Exported.USER:
        _check(which)

    async def export(redis: Redis) -> None:
        scripts = Scripts(redis)
        log = ConversationLog(scripts, older=_archive(scripts))
        exports = Exports(scripts.redis, log, Members(redis, scripts, log, retention=0))
        lines = exports.user(which) if kind == Exported.USER else exports.conversation(which)
        async for line in lines:
            sys.stdout.write(line)

    on_redis(export)


def _archive(scripts: Scripts) -> Archive | None:
    """The archive of ARCHIVE_URL, if there is one."""
    from sio_server.data.archive import Archive
    from sio_server.data.archive_store import ArchiveStore

    if not (url := os.environ.get("ARCHIVE_URL", "")):
        return None
    try:
        return Archive(scripts.redis, scripts, ArchiveStore(url))
    except (ValueError, OSError) as exc:
        fail(f"ARCHIVE_URL={url}: {exc}", MISTAKE)


def _abandoned_kept() -> int:
    """ABANDONED_KEPT, as the nodes have it: conversations that nobody can reach any more are kept so many days."""
    from sio_server.settings import Settings

    text = os.environ.get("ABANDONED_KEPT", str(Settings.model_fields["abandoned_kept"].default))
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) > 3650:
        fail(f"ABANDONED_KEPT={text}: write a number of days from 0 (for ever) to 3650", MISTAKE)
    return int(text)


def _check(user_id: str) -> None:
    from sio_server.protocol.events import USER_ID_PATTERN

    if not re.fullmatch(USER_ID_PATTERN, user_id):
        fail(f"{user_id}: cannot be the id of a user", MISTAKE)

"""`roomgraph chat`: a conversation in the terminal."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from sio_clients.client import ChatClient, guest_token
from sio_clients.conversation import Conversation
from sio_clients.errors import ConversationReset, Refused, RoomgraphError
from sio_server.protocol.errors import ErrorCode
from sio_server.protocol.events import Entry, EntryType


async def chat(urls: Sequence[str], conversation_id: str, *, name: str, token: str, console: Console) -> None:
    """Show a conversation and send what is typed, until the end of the input."""
    if not token:
        _, token = await guest_token(urls[0], name or getpass.getuser())
    async with ChatClient(urls, token, device_name="terminal") as client:
        try:
            conversation = await client.join(conversation_id)
        except Refused as exc:
            if exc.code != ErrorCode.UNKNOWN_CONVERSATION:
                raise
            conversation = await client.create(conversation_id, conversation_id=conversation_id, access="open")
        console.print(
            f"[dim]{escape(conversation.title or conversation.id)} · node {client.node} · Ctrl-D ends[/]"
        )
        showing = asyncio.create_task(_show(conversation, client.user_id, console))
        try:
            while (line := await _read_line()) is not None:
                if line.strip():
                    await _send(conversation, line.strip(), console)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


async def _read_line() -> str | None:
    """One line of the standard input, None at its end."""
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return line or None


async def _send(conversation: Conversation, text: str, console: Console) -> None:
    try:
        await conversation.send(text)
    except RoomgraphError as exc:
        console.print(f"[red]not sent: {escape(exc.message)}[/]")


async def _show(conversation: Conversation, own_user_id: str, console: Console) -> None:
    while True:
        try:
            async for entry in conversation.entries():
                line = describe(entry, own_user_id)
                if line:
                    console.print(line, highlight=False, soft_wrap=True)
            return
        except ConversationReset as exc:
            console.print(f"[yellow]{escape(exc.message)}[/]")


def describe(entry: Entry, own_user_id: str) -> str:
    """An entry as a line with rich markup; what people wrote is escaped. Empty for one that is not shown."""
    when = f"[dim]{entry.ts[11:16]}[/]"
    name = escape(str(entry.data.get("name", entry.author)))
    if entry.type in (EntryType.MESSAGE, EntryType.ANSWER):
        colour = (
            "magenta" if entry.type == EntryType.ANSWER else "green" if entry.author == own_user_id else "cyan"
        )
        return f"{when} [{colour}]{name}[/]: {escape(entry.text)}"
    if entry.type == EntryType.FAILED:
        return f"{when} [red]{name}: {escape(str(entry.data.get('reason', '')))}[/]"
    if entry.type in (EntryType.MEMBER_JOINED, EntryType.MEMBER_LEFT):
        return f"{when} [dim]{name} {'joined' if entry.type == EntryType.MEMBER_JOINED else 'left'}[/]"
    return ""

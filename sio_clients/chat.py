"""`roomgraph chat`: a conversation in the terminal."""

from __future__ import annotations

import asyncio
import getpass
import re
import sys
import threading
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

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
        title = _clean(conversation.title or conversation.id)
        console.print(Text(f"{title} · node {client.node} · Ctrl-D ends", style="dim"))
        showing = asyncio.create_task(_show(conversation, client.user_id, console))
        lines = _read_lines()
        try:
            while (line := await lines.get()) is not None:
                if line.strip():
                    await _send(conversation, line.strip(), console)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


def _read_lines() -> asyncio.Queue[str | None]:
    """The lines of the standard input as they are typed, and None at its end."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    # A daemon, since nothing can wake a thread that waits for the keyboard when Ctrl-C ends the program.
    threading.Thread(target=read, daemon=True, name="keyboard").start()
    return lines


async def _send(conversation: Conversation, text: str, console: Console) -> None:
    try:
        await conversation.send(text)
    except RoomgraphError as exc:
        console.print(Text(f"not sent: {exc.message}", style="red"))


async def _show(conversation: Conversation, own_user_id: str, console: Console) -> None:
    while True:
        try:
            async for entry in conversation.entries():
                line = describe(entry, own_user_id)
                if line is not None:
                    console.print(line, highlight=False, soft_wrap=True)
            return
        except ConversationReset as exc:
            console.print(Text(exc.message, style="yellow"))


# Control characters, which could move the cursor, and marks that turn the direction of the text.
_UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def describe(entry: Entry, own_user_id: str) -> Text | None:
    """An entry as a line, exactly as it was written but for control characters; None for one that is not shown."""
    when = (f"{entry.ts[11:16]} ", "dim")
    name = _clean(str(entry.data.get("name", entry.author)))
    if entry.type in (EntryType.MESSAGE, EntryType.ANSWER):
        colour = (
            "magenta" if entry.type == EntryType.ANSWER else "green" if entry.author == own_user_id else "cyan"
        )
        return Text.assemble(when, (name, colour), ": ", _clean(entry.text))
    if entry.type == EntryType.FAILED:
        return Text.assemble(when, (f"{name}: {_clean(str(entry.data.get('reason', '')))}", "red"))
    if entry.type in (EntryType.MEMBER_JOINED, EntryType.MEMBER_LEFT):
        return Text.assemble(
            when, (f"{name} {'joined' if entry.type == EntryType.MEMBER_JOINED else 'left'}", "dim")
        )
    return None


def _clean(text: str) -> str:
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text)

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

ANSWER_S = 30.0  # how long a program that has no more to say waits for the agent


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
        # On a terminal what is typed stands there already.
        hidden = client.device_id if sys.stdin.isatty() else None
        screen = _Screen(conversation, client.user_id, console, hidden)
        showing = asyncio.create_task(screen.show())
        lines = _read_lines()
        try:
            while (line := await lines.get()) is not None:
                if line.strip():
                    await screen.send(line.strip())
            await screen.finish()
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


class _Screen:
    """Sends lines and shows entries, and knows when all that was sent has been shown and answered."""

    def __init__(self, conversation: Conversation, user_id: str, console: Console, hidden: str | None) -> None:
        self._conversation = conversation
        self._user_id = user_id
        self._console = console
        self._hidden = hidden  # the device whose messages are not shown
        self._sent = 0  # seq of the latest message
        self._unanswered: set[str] = set()  # run ids
        self._seen = 0  # seq of the latest entry that was shown
        self._ended: set[str] = set()  # run ids
        self._changed = asyncio.Event()

    async def send(self, text: str) -> None:
        """Send a line; a refusal is told."""
        try:
            ack = await self._conversation.send(text)
        except RoomgraphError as exc:
            self._console.print(Text(f"not sent: {exc.message}", style="red"))
            return
        self._sent = ack.seq
        if ack.run_id is not None and ack.run_id not in self._ended:
            self._unanswered.add(ack.run_id)

    async def finish(self) -> None:
        """Wait until the latest message has been shown and the agent has answered, as far as it does in time."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while self._seen < self._sent or self._unanswered:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._console.print(Text("the agent has not answered yet", style="yellow"))

    async def show(self) -> None:
        """Show entries as they come."""
        while True:
            try:
                async for entry in self._conversation.entries():
                    line = describe(entry, self._user_id)
                    if line is not None and (self._hidden is None or entry.data.get("device_id") != self._hidden):
                        self._console.print(line, highlight=False, soft_wrap=True)
                    self._seen = entry.seq
                    if "run_id" in entry.data:
                        self._ended.add(entry.data["run_id"])
                        self._unanswered.discard(entry.data["run_id"])
                    self._changed.set()
                return
            except ConversationReset as exc:
                self._console.print(Text(exc.message, style="yellow"))


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

"""`roomgraph chat`: a conversation in the terminal."""

from __future__ import annotations

import asyncio
import getpass
import sys
import threading
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from roomgraph.chat_lines import describe, describe_run
from roomgraph.questions import (
    Answer,
    Decided,
    NotAnAnswer,
    chat_texts,
    read_line,
    start_over,
)
from sio_clients.client import ChatClient
from sio_clients.conversation import Ack, Conversation, Question
from sio_clients.decisions import Decision
from sio_clients.errors import ConversationReset, Refused, RoomgraphError
from sio_clients.guests import guest_token
from sio_server.language import detect_language
from sio_server.protocol.errors import ErrorCode
from sio_server.protocol.events import EntryType
from sio_server.protocol.names import printable, printable_name
from sio_server.tasks import end_tasks

ANSWER_S = 30.0  # how long to wait for the agent when the input has ended
COMMANDS = "/stop, /regenerate, /edit TEXT, /say TEXT"
ENDINGS = (EntryType.ANSWER, EntryType.INTERRUPT, EntryType.STOPPED, EntryType.FAILED)


async def chat(
    urls: Sequence[str],
    conversation_id: str,
    *,
    name: str,
    token: str,
    console: Console,
    context: dict[str, Any] | None = None,
) -> None:
    """Show a conversation and send what is typed, until the end of the input.

    `context`: of a conversation that is created by this.
    """
    if not token:
        _, token = await guest_token(urls[0], name or getpass.getuser())
    async with ChatClient(urls, token, device_name="terminal", report_delivery=True) as client:
        try:
            conversation = await client.join(conversation_id)
        except Refused as exc:
            if exc.code != ErrorCode.UNKNOWN_CONVERSATION:
                raise
            conversation = await client.create(
                conversation_id, conversation_id=conversation_id, access="open", context=context
            )
        greet(console, conversation.title or conversation.id, client.node)
        # A terminal shows what is typed by itself.
        hidden = client.device_id if sys.stdin.isatty() else None
        screen = _Screen(conversation, client.user_id, console, hidden)
        showing = asyncio.create_task(screen.show())
        lines = _read_lines()
        try:
            while (line := await _next_line(lines, showing)) is not None:
                if not line.strip():
                    continue
                if hidden is None and line.strip() != "/stop":
                    await screen.finish()  # the next piped line may answer the question that comes now
                await screen.run_line(line.strip())
            await screen.finish()
        finally:
            await end_tasks([showing])


def greet(console: Console, title: str, node: str) -> None:
    """Name the conversation and the commands, in one line for whoever reads it through a pipe."""
    greeting = f"{printable_name(title)} · node {node} · {COMMANDS} · Ctrl-D ends"
    console.print(Text(greeting, style="dim"), soft_wrap=True)


async def _next_line(lines: asyncio.Queue[str | None], showing: asyncio.Task[None]) -> str | None:
    """The next line; raises when `showing` has ended, as after a sign-out on another device."""
    typed = asyncio.ensure_future(lines.get())
    try:
        await asyncio.wait({typed, showing}, return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            showing.result()
        return await typed
    finally:
        typed.cancel()


class _Screen:
    """Sends lines, shows entries, and knows when everything sent has been shown and answered."""

    def __init__(self, conversation: Conversation, user_id: str, console: Console, hidden: str | None) -> None:
        self._conversation = conversation
        self._user_id = user_id
        self._console = console
        self._hidden = hidden  # the device whose messages are not shown
        self._sent = 0  # seq of the latest message
        self._own = 0  # seq of this user's latest message
        self._ending = 0  # seq of the entry that ended the latest turn
        self._unanswered: set[str] = set()  # run ids
        self._seen = 0  # seq of the latest entry that was shown
        self._ended: set[str] = set()  # run ids
        self._changed = asyncio.Event()
        self._told: dict[str, tuple[int, str]] = {}  # run id -> version and status
        self._made: dict[str, list[Decision]] = {}  # open review -> the decisions so far
        self._texts = chat_texts(detect_language())
        conversation.on_runs_changed = self._on_runs_changed

    async def run_line(self, line: str) -> None:
        """Run a command, answer the open question, or send a message; a refusal is shown."""
        try:
            if line.startswith("/"):
                await self._run_command(*line[1:].partition(" ")[::2])
            elif not await self._answer(line):
                self._on_sent(await self._conversation.send(line))
        except RoomgraphError as exc:
            self._note(self._texts("refused", message=exc.message), "red")

    async def _answer(self, line: str) -> bool:
        """Answer the first open question with a line; False when it is a message."""
        question = next(iter(self._conversation.interrupts.values()), None)
        if question is None:
            return False
        made = self._made.pop(question.interrupt_id, [])
        match read_line(line, question.form, made, self._texts):
            case None:
                return False
            case NotAnAnswer(note):
                self._made[question.interrupt_id] = made
                self._note(note)
            case Decided(now_made, note):
                self._made[question.interrupt_id] = now_made
                self._note(note)
            case Answer(value):
                await self._respond(question, value)
        return True

    async def _respond(self, question: Question, value: Any) -> None:
        try:
            self._expect((await self._conversation.respond(question.interrupt_id, value))["run_id"])
        except Refused as exc:
            self._note(self._texts("refused", message=exc.message), "red")
            if (
                len(question.form.get("actions", ())) > 1
                and question.interrupt_id in self._conversation.interrupts
            ):
                self._note(start_over(question.form, self._texts))

    async def _run_command(self, command: str, rest: str) -> None:
        conversation, text = self._conversation, rest.strip()
        if command == "say" and text:
            self._on_sent(await conversation.send(text))
        elif command == "stop":
            if not await conversation.stop():
                self._note("nothing is being answered")
        elif command == "regenerate" and self._ending:
            self._expect(await conversation.regenerate(self._ending))
        elif command == "regenerate":
            self._note("nothing has been answered yet")
        elif command == "edit" and text and self._own:
            self._on_sent(await conversation.edit(self._own, text))
        elif command == "edit":
            self._note("you have not sent a message yet" if text else "/edit TEXT: write the new text")
        else:
            self._note(f"there is no /{command}; there are {COMMANDS}")

    def _on_sent(self, ack: Ack) -> None:
        self._sent = self._own = ack.seq
        self._expect(ack.run_id)

    def _expect(self, run_id: str | None) -> None:
        if run_id is not None and run_id not in self._ended:
            self._unanswered.add(run_id)

    def _note(self, what: str, style: str = "yellow") -> None:
        self._console.print(Text(printable(what), style=style), soft_wrap=True)

    def _on_runs_changed(self, run_ids: Sequence[str], event: str) -> None:
        """Tell when a run's node is silent, and when another one has taken the run over."""
        for run_id in run_ids:
            run, told = self._conversation.runs.get(run_id), self._told.pop(run_id, None)
            if run is None:
                continue
            self._told[run_id] = run.version, run.status
            if (line := describe_run(run, told)) is not None:
                self._console.print(line, highlight=False, soft_wrap=True)

    async def finish(self) -> None:
        """Wait, at most ANSWER_S, until the latest message has been shown and the agent has answered."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while self._seen < self._sent or self._unanswered:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._note("the agent has not answered yet")

    async def show(self) -> None:
        """Show entries as they arrive."""
        while True:
            try:
                async for entry in self._conversation.entries():
                    line = describe(entry, self._user_id, self._texts)
                    if line is not None and (self._hidden is None or entry.data.get("device_id") != self._hidden):
                        self._console.print(line, highlight=False, soft_wrap=True)
                    self._seen = entry.seq
                    if entry.type == EntryType.MESSAGE and entry.author == self._user_id:
                        self._own = entry.seq
                    if entry.type in ENDINGS:
                        self._ending = entry.seq
                        self._ended.add(entry.data["run_id"])
                        self._unanswered.discard(entry.data["run_id"])
                    self._changed.set()
                return
            except ConversationReset as exc:
                self._note(exc.message)


def _read_lines() -> asyncio.Queue[str | None]:
    """The lines of the standard input as they arrive, and None at its end."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    # A daemon: nothing can wake a thread that waits for the keyboard when Ctrl-C ends the program.
    threading.Thread(target=read, daemon=True, name="keyboard").start()
    return lines

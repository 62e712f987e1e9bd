"""A device whose sends and deliveries are recorded, so that a checker can judge what it really got."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Callable

from sio_clients.check.history import Outcome, Recorder, Seen
from sio_clients.client import ChatClient
from sio_clients.conversation import Ack, Conversation
from sio_clients.errors import ConversationReset, Refused, RoomgraphError
from sio_server.protocol.events import AgentMode, Entry


def seen(entry: Entry) -> Seen:
    """An entry as the checker knows it."""
    client_id = entry.data.get("client_id")
    digest = hashlib.sha1(entry.model_dump_json().encode(), usedforsecurity=False).hexdigest()
    return Seen(
        entry.epoch, entry.seq, entry.type, str(client_id) if client_id is not None else None, entry.text, digest
    )


class RecordedDevice:
    """A client that follows conversations and writes down all that it sends and is handed.

    `name` is its name in the history. Several devices share one recorder in one event loop.
    """

    def __init__(self, name: str, client: ChatClient, recorder: Recorder) -> None:
        self.name = name
        self.client = client
        self.entries: dict[str, list[Entry]] = {}
        self.arrived: dict[str, float] = {}  # client_id of a message -> when it came here
        self.resets: list[str] = []
        self.recorder = recorder
        self._conversations: dict[str, Conversation] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._came = asyncio.Condition()

    async def create(self, title: str, *, agent: AgentMode) -> Conversation:
        """Create an open conversation and follow it."""
        return self._follow(await self.client.create(title, access="open", agent=agent))

    async def join(self, conversation_id: str) -> Conversation:
        """Join a conversation and follow it, from its beginning when that is within a snapshot."""
        return self._follow(await self.client.join(conversation_id))

    def conversation(self, conversation_id: str) -> Conversation:
        """A conversation that it follows."""
        return self._conversations[conversation_id]

    async def send(self, conversation_id: str, text: str) -> Ack:
        """Send and record how it ended; raises what the client raises."""
        client_id = uuid.uuid4().hex
        now = asyncio.get_running_loop().time
        outcome: Outcome = "unknown"
        self.recorder.begin_send(conversation_id, client_id, self.name, text, now())
        try:
            ack = await self._conversations[conversation_id].send(text, client_id=client_id)
        except Refused:
            outcome = "failed"
            raise
        else:
            self.recorder.end_send(client_id, "ok", now(), ack.position)
            return ack
        finally:
            if outcome == "failed":
                self.recorder.end_send(client_id, outcome, now())

    async def until(self, conversation_id: str, holds: Callable[[list[Entry]], bool], timeout: float) -> bool:
        """Wait until `holds(entries)`; False when it does not within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self._came:
                await self._came.wait_for(lambda: holds(self.entries[conversation_id]))
        except TimeoutError:
            return False
        return True

    async def reaches(self, conversation_id: str, seq: int, timeout: float) -> bool:
        """Wait until the entry `seq` has come."""
        return await self.until(conversation_id, lambda e: bool(e) and e[-1].seq >= seq, timeout)

    async def record_log(self, conversation_id: str) -> list[Entry]:
        """Read the whole log and record it as the truth of the end."""
        entries = await self._conversations[conversation_id].log()
        self.recorder.log(conversation_id, *(seen(entry) for entry in entries))
        return entries

    async def close(self) -> None:
        """Disconnect."""
        await self.client.close()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _follow(self, conversation: Conversation) -> Conversation:
        self._conversations[conversation.id] = conversation
        self.entries[conversation.id] = []
        self.recorder.open_view(self.name, conversation.id, whole=True)
        self._readers.append(asyncio.create_task(self._read(conversation)))
        return conversation

    async def _read(self, conversation: Conversation) -> None:
        while True:
            try:
                async for entry in conversation.entries():
                    self.recorder.saw(self.name, conversation.id, seen(entry))
                    if "client_id" in entry.data:
                        self.arrived[entry.data["client_id"]] = asyncio.get_running_loop().time()
                    async with self._came:
                        self.entries[conversation.id].append(entry)
                        self._came.notify_all()
                return
            except ConversationReset as exc:
                self.resets.append(exc.reason)
            except RoomgraphError:
                return

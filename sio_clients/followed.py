"""The conversations that a device follows: events go to them, and each is caught up after a return or a gap."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

from sio_clients.connection import REQUEST_TIMEOUT_S, spread
from sio_clients.conversation import Conversation
from sio_clients.errors import RateLimited, RoomgraphError, Unavailable, from_wire
from sio_clients.reporting import DeliveryReports
from sio_clients.transport import ConnectionLost, Transport
from sio_server.protocol.events import (
    MAX_SYNC_CONVERSATIONS,
    ClientEvent,
    EntryType,
    ServerEvent,
)
from sio_server.protocol.stream import Step
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

SYNC_AGAIN_S = 4.0  # at most, until a conversation that is not served at this moment is asked for again

_CONVERSATION_EVENTS = frozenset({ServerEvent.CONVERSATION_SYNCED, ServerEvent.CONVERSATION_RESET})


class FollowedConversations:
    """Conversations by id, each with what it is owed of the log; the user of a Connection.

    Every event also goes to the listeners of its name. `report_delivery`: tell the members what has come here.
    """

    def __init__(self, *, report_delivery: bool) -> None:
        self._conversations: dict[str, Conversation] = {}
        self._listeners: dict[str, list[Callable[[Any], None]]] = {}
        self._transport: Transport | None = None  # the live connection
        self._user_id = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._reports = DeliveryReports(self._report_delivery) if report_delivery else None

    def listen(self, event: str, listener: Callable[[Any], None]) -> None:
        """Call `listener(payload)` for every such server event."""
        self._listeners.setdefault(event, []).append(listener)

    def get(self, conversation_id: str) -> Conversation | None:
        """A conversation that is followed."""
        return self._conversations.get(conversation_id)

    def add(self, conversation: Conversation) -> None:
        """Follow a conversation from now on: what comes live is kept until the answer to its join."""
        self._conversations[conversation.id] = conversation

    def withdraw(self, conversation: Conversation) -> None:
        """Its join was refused: it was never followed."""
        self._conversations.pop(conversation.id, None)

    def forget(self, conversation: Conversation, error: RoomgraphError | None = None) -> None:
        """Stop following a conversation; its `entries()` end, or raise the error."""
        if self._conversations.get(conversation.id) is conversation:
            del self._conversations[conversation.id]
            if self._reports is not None:
                self._reports.forget(conversation.id)
        conversation._end(error)

    def on_joined(self, conversation: Conversation, result: dict[str, Any]) -> None:
        """The answer to its join came."""
        self._carry_out(conversation, conversation._on_answer(result))

    def sync(self, conversation: Conversation) -> None:
        """Ask the server where the conversation stands."""
        # Without a connection nothing need be asked: the next one begins with a sync.
        if self._transport is not None:
            self._spawn(self._sync_one(self._transport, conversation))

    async def close(self) -> None:
        """End what is under way, and the iterators over entries."""
        await end_tasks(list(self._tasks))
        if self._reports is not None:
            await self._reports.close()
        for conversation in self._conversations.values():
            conversation._end()

    # What the connection says

    async def catch_up(self, transport: Transport, user_id: str) -> None:
        """Give every conversation what it missed, before anything else is asked for on this connection."""
        self._transport, self._user_id = transport, user_id
        waiting = [c for c in self._conversations.values() if c.position is not None]
        for start in range(0, len(waiting), MAX_SYNC_CONVERSATIONS):
            await self._sync(transport, waiting[start : start + MAX_SYNC_CONVERSATIONS])

    def on_event(self, event: str, payload: Any) -> None:
        """Give an event to its conversation, then to the listeners."""
        # An event with `n` is of a stream, also one that only a later server knows.
        if event in _CONVERSATION_EVENTS or (isinstance(payload, dict) and "n" in payload):
            conversation = self._conversations.get(payload["conversation_id"])
            if conversation is not None:
                self._on_conversation_event(conversation, event, payload)
        elif event == ServerEvent.DRAFT_CHANGED and payload["conversation_id"] in self._conversations:
            self._conversations[payload["conversation_id"]].on_draft(payload["draft"])
        for listener in self._listeners.get(event, ()):
            listener(payload)

    def on_disconnect(self) -> None:
        """Events of the next connection wait for its sync."""
        self._transport = None
        for conversation in self._conversations.values():
            conversation.stream.disconnected()

    def on_end(self, error: RoomgraphError) -> None:
        """Nothing comes any more."""
        for conversation in list(self._conversations.values()):
            self.forget(conversation, error)

    def _on_conversation_event(self, conversation: Conversation, event: str, payload: Any) -> None:
        stream = conversation.stream
        if event == ServerEvent.CONVERSATION_RESET:
            self._carry_out(conversation, stream.on_reset())
        elif event == ServerEvent.CONVERSATION_SYNCED:
            self._carry_out(conversation, stream.on_synced(payload))
        else:
            self._carry_out(conversation, stream.on_event(event, payload), event)

    # Catching up

    async def _sync(self, transport: Transport, batch: list[Conversation]) -> None:
        """Sync these conversations until nothing is known to be missing in any of them."""
        while batch:
            positions = {}
            for conversation in batch:
                position = conversation.position
                positions[conversation.id] = position and {"epoch": position.epoch, "seq": position.seq}
            answer = await _ask(transport, ClientEvent.SESSION_SYNC, {"positions": positions, "marks": False})
            asked, batch = batch, []
            for conversation in asked:
                result = answer["conversations"][conversation.id]
                if "error" in result:
                    error = from_wire(result["error"])
                    if error.retryable:  # what has this one is away at this moment
                        self._spawn(self._sync_later(transport, conversation))
                    else:
                        self.forget(conversation, error)  # left on another device meanwhile
                elif self._deliver(conversation, conversation._on_answer(result)):
                    batch.append(conversation)

    async def _sync_one(self, transport: Transport, conversation: Conversation) -> None:
        try:
            await self._sync(transport, [conversation])
        except (Unavailable, TimeoutError):
            await transport.close()  # the next connection begins with a sync
        except ConnectionLost:
            pass

    async def _sync_later(self, transport: Transport, conversation: Conversation) -> None:
        await asyncio.sleep(SYNC_AGAIN_S * random.uniform(0.5, 1.0))
        if self._transport is transport and self._conversations.get(conversation.id) is conversation:
            await self._sync_one(transport, conversation)

    def _carry_out(self, conversation: Conversation, step: Step, event: str = "") -> None:
        if self._deliver(conversation, step, event):
            self.sync(conversation)

    def _deliver(self, conversation: Conversation, step: Step, event: str = "") -> bool:
        """Hand on what a step brought; returns whether a sync is to be asked for."""
        conversation._receive(step, event)
        if self._reports is not None and conversation.position is not None:
            self._reports.reached(conversation.id, conversation.position)
        for entry in step.entries:
            if entry.type == EntryType.CONVERSATION_RENAMED:
                conversation.title = str(entry.data["title"])
        if any(e.type == EntryType.MEMBER_LEFT and e.author == self._user_id for e in step.entries):
            # Left on another device. It may be an old entry and the user a member again: a sync tells.
            return conversation.stream.on_reset().sync or step.sync
        return step.sync

    async def _report_delivery(self, seqs: dict[str, int]) -> None:
        if self._transport is None:
            raise ConnectionLost
        marks = {conversation_id: {"delivered": seq} for conversation_id, seq in seqs.items()}
        answer = await self._transport.request(ClientEvent.MARKS_SET, {"marks": marks}, REQUEST_TIMEOUT_S)
        for mark in answer["marks"].values():
            if "error" in mark and (error := from_wire(mark["error"])).retryable:
                raise error

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the client could not catch up", exc_info=error)


async def _ask(transport: Transport, event: str, payload: dict[str, Any]) -> dict[str, Any]:
    """A request on this connection, repeated while the server says that the user asks too often."""
    while True:
        try:
            return await transport.request(event, payload, REQUEST_TIMEOUT_S)
        except RateLimited as exc:
            await asyncio.sleep(spread(exc))

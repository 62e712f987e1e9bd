"""The SDK: a chat client that stays connected to some node of a list and misses nothing.

async with ChatClient(["http://127.0.0.1:9000", "http://127.0.0.1:9001"], token) as client:
    conversation = await client.join("lobby")
    await conversation.send("hello")
    async for entry in conversation.entries():
        print(entry.seq, entry.text)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from sio_clients.conversation import Conversation
from sio_clients.devices import Device
from sio_clients.errors import (
    NotConnected,
    RateLimited,
    Refused,
    RoomgraphError,
    SessionEnded,
    Unavailable,
    from_wire,
)
from sio_clients.reporting import DeliveryReports
from sio_clients.route import Route
from sio_clients.session import Following, Outcome
from sio_clients.tokens import Token, TokenProvider
from sio_clients.transport import ConnectionLost, Transport
from sio_server.protocol.events import (
    MAX_PAGE_ENTRIES,
    MAX_SYNC_CONVERSATIONS,
    Access,
    AgentMode,
    Approvals,
    ClientEvent,
    Entry,
    EntryType,
    MultitaskStrategy,
    ServerEvent,
)
from sio_server.protocol.position import Position
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 5.0
BACKOFF_FIRST_S = 0.1
REPEAT_MAX_S = 1.0  # between repetitions of a request: the store may be back, and was asked no sooner than that
RUN_EVENTS = (
    ServerEvent.RUN_STARTED,
    ServerEvent.RUN_DELTA,
    ServerEvent.RUN_UPDATE,
    ServerEvent.RUN_SUPERSEDED,
    ServerEvent.RUN_FINISHED,
)


async def guest_token(url: str, name: str) -> tuple[str, str]:
    """Ask a server in guest mode for a token; returns (user_id, token). Raises Refused or NotConnected."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http:
            async with http.post(f"{url.rstrip('/')}/api/guest", json={"name": name}) as response:
                body = await response.json()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
        raise NotConnected(f"{url}: {exc or 'no answer'}") from None
    if response.status != 200:
        raise from_wire(body.get("error"))
    return str(body["user_id"]), str(body["token"])


def _spread(error: RateLimited) -> float:
    """How long to wait, in seconds: not all who were refused come back at once."""
    return error.retry_after_ms / 1000 * random.uniform(1.0, 1.2)


class ChatClient:
    """A device of a user.

    Promises: a send that returned is in the log, once, however often the connection was lost; entries come
    in the order of the log, each once, with nothing left out; when its node goes away it moves to any other
    of `urls` and is caught up there. Requests are repeated for `give_up_after` seconds, then they raise
    NotConnected, or Unavailable when the outcome is unknown, or RateLimited, when nothing was done. When this
    device is signed out, or its token expires or is revoked, the client ends: everything raises SessionEnded, or
    Refused (`token_revoked`, `token_expired`) where the news was missed.

    `token`: a token, or a function (or coroutine function) that returns one. It is asked at the start and whenever
    its token has expired; then the client goes on. What it raises ends the client; NotConnected and Unavailable it
    may raise to be asked again.

    `report_delivery`: tell the members what this device has received. For clients that show it to somebody.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        token: str | TokenProvider,
        *,
        device_id: str | None = None,
        device_name: str = "",
        give_up_after: float = 30.0,
        report_delivery: bool = False,
    ) -> None:
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        if not self.urls:
            raise ValueError("urls: give the address of at least one node, such as http://127.0.0.1:9000")
        self._route = Route(self.urls)
        self.device_id = device_id or f"d-{uuid.uuid4().hex[:16]}"
        self.user_id = ""
        self.node = ""  # the name of the node it is connected to
        self.graphs: list[str] = []  # the agents that node serves, the default first
        self.give_up_after = give_up_after
        self._token = Token(token)
        self._device = {"device_id": self.device_id, "device_name": device_name}
        self._transport: Transport | None = None
        self._online = asyncio.Event()
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._wanted = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._fatal: RoomgraphError | None = None
        self._conversations: dict[str, Conversation] = {}
        self._listeners: dict[str, list[Callable[[Any], None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: RoomgraphError | None = None  # why no connection is wanted any more
        self._reports = DeliveryReports(self._report_delivery) if report_delivery else None

    # The connection

    async def connect(self) -> None:
        """Connect to the first node that answers. Raises Refused (a bad token) or NotConnected."""
        self._supervisor = asyncio.create_task(self._supervise(), name="chat-client")
        try:
            await self._wait_online(asyncio.get_running_loop().time() + self.give_up_after)
        except RoomgraphError:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect for good. Iterators over entries end."""
        await end_tasks([self._supervisor, *self._tasks])
        if self._reports is not None:
            await self._reports.close()
        if self._transport is not None:
            await self._transport.close()
        self._fatal = self._fatal or NotConnected("the client is closed")
        for conversation in self._conversations.values():
            conversation._end()

    async def go_offline(self) -> None:
        """Lose the connection without a goodbye, and stay away until `go_online`."""
        self._allowed.clear()
        if self._transport is not None:
            await self._transport.cut()

    async def go_online(self, url: str | None = None) -> None:
        """Come back, to a certain node if one is given, and wait until everything missed is here."""
        if url is not None:
            self._route.take(url)
        self._allowed.set()
        await self._wait_online(asyncio.get_running_loop().time() + self.give_up_after)

    @property
    def online(self) -> bool:
        """Connected, and caught up in every conversation."""
        return self._online.is_set()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Conversations

    async def create(
        self,
        title: str = "",
        *,
        conversation_id: str | None = None,
        access: Access = "invitation",
        agent: AgentMode = "always",
        graph: str | None = None,
        multitask_strategy: MultitaskStrategy = "enqueue",
        approvals: Approvals = "members",
        invite: Sequence[str] = (),
    ) -> Conversation:
        """Create a conversation and follow it. The id is chosen here, so that a repeated request makes one.

        `graph` names the agent, one of `graphs`; None: the server's default. `multitask_strategy`: what a
        message does while a run is on. `approvals`: who may answer the agent's questions.
        """
        request = {
            "conversation_id": conversation_id or f"c-{uuid.uuid4().hex[:16]}",
            "title": title,
            "access": access,
            "agent": agent,
            "graph": graph,
            "multitask_strategy": multitask_strategy,
            "approvals": approvals,
            "invite": list(invite),
        }
        return await self._follow(ClientEvent.CONVERSATION_CREATE, request, None)

    async def join(self, conversation_id: str, position: Position | None = None) -> Conversation:
        """Become a member and follow the conversation, from a position seen before or with a snapshot."""
        known = self._conversations.get(conversation_id)
        position = position or (known.position if known else None)
        request: dict[str, Any] = {"conversation_id": conversation_id}
        if position is not None:
            request["position"] = {"epoch": position.epoch, "seq": position.seq}
        return await self._follow(ClientEvent.CONVERSATION_JOIN, request, position)

    async def conversations(self) -> list[dict[str, Any]]:
        """All of the user's conversations, with unread counts."""
        items: list[dict[str, Any]] = []
        after: dict[str, Any] = {}
        while True:
            page = await self.request(ClientEvent.CONVERSATION_LIST, after)
            items += page["conversations"]
            if page["next"] is None:
                return items
            after = {"after": page["next"]}

    # The user's devices

    async def devices(self) -> list[Device]:
        """The user's devices, those online first."""
        answer = await self.request(ClientEvent.DEVICE_LIST, {})
        return [Device.from_wire(item) for item in answer["devices"]]

    async def rename_device(self, device_id: str, name: str) -> None:
        """Call a device otherwise; it keeps the name. Raises Refused with `unknown_device`."""
        await self.request(ClientEvent.DEVICE_RENAME, {"device_id": device_id, "device_name": name})

    async def sign_out_device(self, device_id: str) -> int:
        """End a device's sessions, also this one's, and refuse its tokens; returns how many sessions it had."""
        return int((await self.request(ClientEvent.DEVICE_SIGN_OUT, {"device_id": device_id}))["sessions"])

    def on(self, event: str, listener: Callable[[Any], None]) -> None:
        """Call `listener(payload)` for every such server event, such as `draft:updated`. It must not block."""
        self._listeners.setdefault(event, []).append(listener)

    async def request(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send an event and return its ack; repeated until answered, which every event allows."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.give_up_after
        delay = BACKOFF_FIRST_S
        while True:
            transport = await self._wait_online(deadline)
            try:
                return await transport.request(event, payload, min(REQUEST_TIMEOUT_S, self.give_up_after))
            except Unavailable:
                if loop.time() + delay > deadline:
                    raise
            except RateLimited as exc:
                pause = _spread(exc)
                if loop.time() + pause > deadline:
                    raise
                await asyncio.sleep(pause)
                continue
            except (ConnectionLost, TimeoutError):
                delay = BACKOFF_FIRST_S  # the next node may be well
                if loop.time() + delay > deadline:
                    raise Unavailable(f"{event} got no answer within {self.give_up_after:g} s") from None
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, REPEAT_MAX_S)

    # Inside

    async def _follow(self, event: str, request: dict[str, Any], position: Position | None) -> Conversation:
        conversation_id = str(request["conversation_id"])
        known = self._conversations.get(conversation_id)
        conversation = known or Conversation(self, Following(conversation_id, position))
        self._conversations[conversation_id] = conversation
        try:
            result = await self.request(event, request)
        except RoomgraphError:
            if known is None:
                self._conversations.pop(conversation_id, None)
            raise
        if self._conversations.get(conversation_id) is not conversation:
            # It was found during the request that the user was no member; now the user is one again.
            conversation = self._conversations[conversation_id] = Conversation(self, Following(conversation_id))
            self._carry_out(conversation, Outcome(sync=True))
        elif known is None or event == ClientEvent.CONVERSATION_JOIN:
            self._carry_out(conversation, conversation.synced(result))
        conversation.title = result["title"]
        return conversation

    def forget(self, conversation: Conversation, error: RoomgraphError | None = None) -> None:
        """Follow a conversation no more; its `entries()` end, or raise the error."""
        if self._conversations.get(conversation.id) is conversation:
            del self._conversations[conversation.id]
            if self._reports is not None:
                self._reports.forget(conversation.id)
        conversation._end(error)

    async def _wait_online(self, deadline: float) -> Transport:
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    if self._fatal is not None:
                        raise self._fatal
                    if self._online.is_set() and self._transport is not None:
                        return self._transport
                    self._wanted.clear()
                    await self._wanted.wait()
        except TimeoutError:
            raise NotConnected(f"no node could be reached: {', '.join(self.urls)}") from None

    async def _supervise(self) -> None:
        """Keep one connection to some node, for ever; another node of the list when one is gone."""
        pause = 0.0
        while True:
            await self._allowed.wait()
            await asyncio.sleep(pause)
            url = self._route.url
            lost = asyncio.Event()
            transport = Transport(self._received, lost.set)
            try:
                ready = await transport.open(url, {"token": await self._token.current(), **self._device})
                if not self._allowed.is_set():
                    raise ConnectionLost
                self._transport = transport
                self.user_id, self.node, self.graphs = ready["user_id"], ready["node"], ready["graphs"]
                if ready.get("last_end"):
                    log.warning("the last connection was broken off: reason=%s", ready["last_end"]["reason"])
                self._token.accepted()
                await self._catch_up(transport)
                self._online.set()
                self._wanted.set()
                await lost.wait()
                pause = self._route.lost() if self._allowed.is_set() else 0.0
            except RateLimited as exc:
                log.info("no connection to %s: %s", url, exc)
                pause = max(self._route.failed(), _spread(exc)) if self._allowed.is_set() else 0.0
            except Refused as exc:
                self._ended = exc  # the token does not serve any more: nothing will come again
            except (RoomgraphError, ConnectionLost, TimeoutError) as exc:
                log.info("no connection to %s: %s", url, exc)
                pause = self._route.failed() if self._allowed.is_set() else 0.0
            finally:
                self._online.clear()
                self._transport = None
                for conversation in self._conversations.values():
                    conversation.following.disconnected()
                await transport.close()
            if self._ended is not None and self._token.renews(self._ended):
                self._ended, pause = None, 0.0
            if self._ended is not None:
                self._fatal = self._ended
                self._wanted.set()
                for conversation in list(self._conversations.values()):
                    self.forget(conversation, self._ended)
                return

    async def _catch_up(self, transport: Transport) -> None:
        """Give every conversation what it missed, before anything else is asked for on this connection."""
        waiting = [c for c in self._conversations.values() if c.following.position is not None]
        for start in range(0, len(waiting), MAX_SYNC_CONVERSATIONS):
            await self._sync(transport, waiting[start : start + MAX_SYNC_CONVERSATIONS])

    async def _sync(self, transport: Transport, batch: list[Conversation]) -> None:
        positions = {}
        for conversation in batch:
            position = conversation.following.position
            positions[conversation.id] = position and {"epoch": position.epoch, "seq": position.seq}
        answer = await self._ask(transport, ClientEvent.SESSION_SYNC, {"positions": positions})
        for conversation in batch:
            result = answer["conversations"][conversation.id]
            if "error" in result:
                self.forget(conversation, from_wire(result["error"]))
                continue
            outcome = conversation.synced(result)
            self._receive(conversation, outcome)
            await self._follow_up(transport, conversation, outcome)

    async def _ask(self, transport: Transport, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A request on this connection, which may have to wait until the user may ask for more."""
        while True:
            try:
                return await transport.request(event, payload, REQUEST_TIMEOUT_S)
            except RateLimited as exc:
                await asyncio.sleep(_spread(exc))

    def _receive(self, conversation: Conversation, outcome: Outcome) -> None:
        conversation._receive(outcome)
        if self._reports is not None and conversation.position is not None:
            self._reports.reached(conversation.id, conversation.position)

    async def _report_delivery(self, conversation_id: str, seq: int) -> None:
        if self._transport is None:
            raise ConnectionLost
        request = {"conversation_id": conversation_id, "seq": seq}
        await self._transport.request(ClientEvent.DELIVERY_UPDATE, request, REQUEST_TIMEOUT_S)

    def _received(self, event: str, payload: Any) -> None:
        if event == ServerEvent.CONVERSATION_ENTRY:
            conversation = self._conversations.get(payload["conversation_id"])
            if conversation is not None:
                entry = Entry.model_validate(payload)
                self._carry_out(conversation, conversation.following.heard(entry))
                if entry.type == EntryType.MEMBER_LEFT and entry.author == self.user_id:
                    # Left on another device. It may be an old entry and the user a member again: a sync tells.
                    conversation.following.disconnected()
                    self._carry_out(conversation, Outcome(sync=True))
        elif event == ServerEvent.CONVERSATION_RESET:
            conversation = self._conversations.get(payload["conversation_id"])
            if conversation is not None:
                conversation.following.disconnected()
                self._carry_out(conversation, Outcome(sync=True))
        elif event in RUN_EVENTS:
            conversation = self._conversations.get(payload["conversation_id"])
            if conversation is not None and conversation.live.hear(event, payload):
                # A delta was lost on its way: the text so far is in the answer to a sync.
                self._carry_out(conversation, Outcome(sync=True))
        elif event == ServerEvent.SESSION_ENDED:
            self._ended = SessionEnded(str(payload["reason"]), payload.get("by") or {})
            if self._transport is not None:
                self._spawn(self._transport.close())
        elif event == ServerEvent.SERVER_DRAINING and self._transport is not None:
            self._spawn(self._transport.close())
        for listener in self._listeners.get(event, ()):
            listener(payload)

    def _carry_out(self, conversation: Conversation, outcome: Outcome) -> None:
        self._receive(conversation, outcome)
        # Without a connection nothing need be read: the next one begins with a sync.
        if self._transport is not None and (outcome.sync or outcome.read_after is not None):
            self._spawn(self._level(self._transport, conversation, outcome))

    async def _level(self, transport: Transport, conversation: Conversation, outcome: Outcome) -> None:
        try:
            await self._follow_up(transport, conversation, outcome)
        except (Unavailable, TimeoutError):
            await transport.close()  # the next connection begins with a sync
        except ConnectionLost:
            pass

    async def _follow_up(self, transport: Transport, conversation: Conversation, outcome: Outcome) -> None:
        """Sync or read, as the outcome says, until the conversation is level."""
        while outcome.read_after is not None:
            request = {"conversation_id": conversation.id, "after": outcome.read_after, "limit": MAX_PAGE_ENTRIES}
            try:
                page = await self._ask(transport, ClientEvent.CONVERSATION_HISTORY, request)
            except Refused as exc:
                self.forget(conversation, exc)  # left on another device meanwhile
                return
            except (Unavailable, TimeoutError):
                await asyncio.sleep(BACKOFF_FIRST_S)
                outcome = conversation.following.read_failed()
            else:
                entries = [Entry.model_validate(item) for item in page["entries"]]
                outcome = conversation.following.page(page["epoch"], page["head"], entries)
            self._receive(conversation, outcome)
        if outcome.sync:
            await self._sync(transport, [conversation])

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("the client could not go on", exc_info=error)


@contextlib.asynccontextmanager
async def connect_guest(urls: str | Sequence[str], name: str, **options: Any) -> AsyncIterator[ChatClient]:
    """A connected client for a guest of that name, for servers in guest mode."""
    first = urls if isinstance(urls, str) else urls[0]
    _, token = await guest_token(first, name)
    async with ChatClient(urls, token, **options) as client:
        yield client

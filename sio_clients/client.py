"""The SDK: a chat client that stays connected to some node of a list and misses nothing.

async with ChatClient(["http://127.0.0.1:9000", "http://127.0.0.1:9001"], token) as client:
    conversation = await client.join("lobby")
    await conversation.send("hello")
    async for entry in conversation.entries():
        print(entry.seq, entry.text)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from sio_clients.connection import Connection
from sio_clients.conversation import Conversation
from sio_clients.devices import Device
from sio_clients.errors import RoomgraphError
from sio_clients.files import FileTransfer
from sio_clients.followed import FollowedConversations
from sio_clients.searching import Hit, SearchPage
from sio_clients.tokens import TokenProvider
from sio_server.protocol.events import (
    CHANGES,
    Access,
    AgentMode,
    Approvals,
    ClientEvent,
    Invites,
    MultitaskStrategy,
)
from sio_server.protocol.position import Position


class ChatClient:
    """A device of a user.

    Promises: a send that returned is in the log, once, however often the connection was lost; entries arrive
    in the order of the log, each once, with nothing left out; when its node goes away it moves to another one
    of `urls` and is caught up there. Requests are repeated for `give_up_after` seconds; then they raise
    NotConnected, Unavailable (the outcome is unknown) or RateLimited (nothing was done). When this device is
    signed out, or its token expires or is revoked, the client ends: every call raises SessionEnded, or Refused
    (`token_revoked`, `token_expired`) if the event was missed.

    `urls`: such as `https://chat.example.com`, or `https://www.example.com/chat` for nodes below a path.

    `token`: a token, or a function (or coroutine function) that returns one. It is called at the start and
    whenever its token has expired; then the client continues. An exception of it ends the client, except
    NotConnected and Unavailable, after which it is called again.

    `bot`: a program that answers by itself. Its messages say so, and agents stop answering bots that go on.

    `report_delivery`: tell the members what this device has received. For clients that show entries to a person.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        token: str | TokenProvider,
        *,
        device_id: str | None = None,
        device_name: str = "",
        bot: bool = False,
        give_up_after: float = 30.0,
        report_delivery: bool = False,
    ) -> None:
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        if not self.urls:
            raise ValueError("urls: give the address of at least one node, such as http://127.0.0.1:9000")
        self.device_id = device_id or f"d-{uuid.uuid4().hex[:16]}"
        self._followed = FollowedConversations(report_delivery=report_delivery)
        device = {"device_id": self.device_id, "device_name": device_name, **({"bot": True} if bot else {})}
        self._connection = Connection(self.urls, token, device, user=self._followed, give_up_after=give_up_after)
        self._files = FileTransfer(self._connection.place)

    # The connection

    async def connect(self) -> None:
        """Connect to the first node that answers. Raises Refused (a bad token) or NotConnected."""
        try:
            await self._connection.start()
        except BaseException:
            await self.close()  # also when the program no longer waits: nothing connects in the background
            raise

    async def close(self) -> None:
        """Disconnect for good. Iterators over entries end."""
        await self._connection.close()
        await self._followed.close()

    async def go_offline(self) -> None:
        """Lose the connection without a goodbye, and stay away until `go_online`."""
        await self._connection.go_offline()

    async def go_online(self, url: str | None = None) -> None:
        """Come back, to a certain node if one is given, and wait until everything missed is here."""
        await self._connection.go_online(url)

    @property
    def online(self) -> bool:
        """Connected, and caught up in every conversation."""
        return self._connection.online

    @property
    def user_id(self) -> str:
        """The user whose token it is; empty before the first connection."""
        return self._connection.user_id

    @property
    def session_id(self) -> str:
        """The session of the latest connection: events that it has caused carry it."""
        return self._connection.session_id

    @property
    def node(self) -> str:
        """The name of the node that it is, or was last, connected to."""
        return self._connection.node

    @property
    def graphs(self) -> list[str]:
        """The agents that its node serves, the default first."""
        return self._connection.graphs

    @property
    def give_up_after(self) -> float:
        """For how many seconds a request is repeated before it raises."""
        return self._connection.give_up_after

    @give_up_after.setter
    def give_up_after(self, seconds: float) -> None:
        self._connection.give_up_after = seconds

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
        invites: Invites = "members",
        invite: Sequence[str] = (),
        context: dict[str, Any] | None = None,
    ) -> Conversation:
        """Create a conversation and follow it. The server makes its id; only an open one may be given an id.

        `graph` names the agent, one of `graphs`; None: the server's default. `multitask_strategy`: what a
        message does while a run is on. `approvals`: the members that may answer the agent's questions.
        `invites`: the members that may invite others.
        `context`: what the graph's `context_schema` asks for; Refused with `invalid_payload` if it does not fit.
        """
        request = {
            "title": title,
            "access": access,
            "agent": agent,
            "graph": graph,
            "multitask_strategy": multitask_strategy,
            "approvals": approvals,
            "invites": invites,
            "invite": list(invite),
            "context": context,
        }
        if conversation_id is not None:
            request["conversation_id"] = conversation_id
            return await self._follow(ClientEvent.CONVERSATION_CREATE, request, None)
        made = await self.request(ClientEvent.CONVERSATION_CREATE, request)
        # What came live before its id was known is caught up by the join, which changes nothing else.
        return await self.join(str(made["conversation_id"]))

    async def join(self, conversation_id: str, position: Position | None = None) -> Conversation:
        """Become a member and follow the conversation, from a position seen before or with a snapshot."""
        known = self._followed.get(conversation_id)
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

    async def search(
        self, query: str, conversation_id: str | None = None, *, before: str | None = None, limit: int = 20
    ) -> SearchPage:
        """What was said that contains the query, in any case, newest first; None: in all the user's conversations.

        A page with `next` has another one after it: `search(query, ..., before=page.next)`. It may have few hits,
        or none, when the server has looked through as much as it does for one request.
        """
        request = {"query": query, "conversation_id": conversation_id, "before": before, "limit": limit}
        answer = await self.request(ClientEvent.MESSAGE_SEARCH, request)
        return SearchPage([Hit.from_wire(item) for item in answer["hits"]], answer["next"])

    async def arrange(
        self, conversation_id: str, *, pinned: bool | None = None, archived: bool | None = None
    ) -> tuple[bool, bool]:
        """Pin a conversation in the user's list, or archive it there; None: as it is. Returns both as they are."""
        request = {"conversation_id": conversation_id, "pinned": pinned, "archived": archived}
        answer = await self.request(ClientEvent.LIST_SET, request)
        return answer["pinned"], answer["archived"]

    # The user's devices

    async def devices(self) -> list[Device]:
        """The user's devices, those online first."""
        answer = await self.request(ClientEvent.DEVICE_LIST, {})
        return [Device.from_wire(item) for item in answer["devices"]]

    async def rename_device(self, device_id: str, name: str) -> None:
        """Rename a device, for good. Raises Refused with `unknown_device`."""
        await self.request(ClientEvent.DEVICE_RENAME, {"device_id": device_id, "device_name": name})

    async def sign_out_device(self, device_id: str) -> int:
        """End a device's sessions, also this one's, and refuse its tokens; returns how many sessions it had."""
        return int((await self.request(ClientEvent.DEVICE_SIGN_OUT, {"device_id": device_id}))["sessions"])

    def on(self, event: str, listener: Callable[[Any], None]) -> None:
        """Call `listener(payload)` for every such server event, such as `draft:changed`. It must not block."""
        self._followed.listen(event, listener)

    async def request(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send an event and return its ack; repeated until answered.

        One that changes something gets a `request_id`, unless it has one: however often it is repeated, it has one
        result.
        """
        if event in CHANGES:
            payload = {"request_id": uuid.uuid4().hex, **payload}
        return await self._connection.request(event, payload)

    def forget(self, conversation: Conversation, error: RoomgraphError | None = None) -> None:
        """Stop following a conversation; its `entries()` end, or raise the error."""
        self._followed.forget(conversation, error)

    async def _follow(self, event: str, request: dict[str, Any], position: Position | None) -> Conversation:
        conversation_id = str(request["conversation_id"])
        known = self._followed.get(conversation_id)
        conversation = known or Conversation(self, conversation_id, position, self._files)
        self._followed.add(conversation)
        try:
            result = await self.request(event, request)
        except RoomgraphError:
            if known is None:
                self._followed.withdraw(conversation)
            raise
        if self._followed.get(conversation_id) is not conversation:
            # It was found during the request that the user was no member; now the user is one again.
            conversation = Conversation(self, conversation_id, None, self._files)
            self._followed.add(conversation)
            self._followed.sync(conversation)
        elif known is None or event == ClientEvent.CONVERSATION_JOIN:
            self._followed.on_joined(conversation, result)
        conversation.title = result["title"]
        return conversation

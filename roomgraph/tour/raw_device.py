"""A device without the SDK: a websocket and what docs/protocol.md says. All that it does and gets is recorded."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

from roomgraph.check.recorder import Recorder
from roomgraph.check.recording import seen_in
from roomgraph.load.wire import Refusal, Wire, WireError
from roomgraph.tour.raw_room import Envelope, RawRoom
from sio_server.protocol.events import CHANGES
from sio_server.tasks import end_tasks

CONNECT_S = 5.0
ANSWER_S = 5.0
SILENCE_S = 8.0  # the node pings every 4 s and waits 4 s for the pong
GIVE_UP_S = 30.0
PAUSE_S = (0.05, 0.5)  # before the next connection, and before a request is repeated
REVOKED = "token_revoked"


class RawDevice:
    """A device of a user, on some node of `urls` and on another one after each loss, until it is closed.

    `issue` makes a token for the user. When the device is signed out it tries its token once more, and then waits
    for `renew`.
    """

    def __init__(
        self,
        name: str,
        user_id: str,
        urls: Sequence[str],
        issue: Callable[[], str],
        recorder: Recorder,
        *,
        chance: random.Random | None = None,
    ) -> None:
        self.name = name
        self.user_id = user_id
        self.device_id = f"raw-{uuid.uuid4().hex[:12]}"
        self.node = ""
        self.revoked = asyncio.Event()  # its token was refused as signed out
        self.rooms: dict[str, RawRoom] = {}
        self._urls = list(urls)
        self._issue = issue
        self._recorder = recorder
        self._chance = chance or random.Random()
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._online = asyncio.Event()
        self._renewed = asyncio.Event()
        self._came = asyncio.Condition()
        self._wire: Wire | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._token, self._issued = "", 0.0
        self._take_token()

    # The connection

    async def start(self) -> None:
        """Connect, to the first of `urls`; from now on the device comes back by itself. Raises TimeoutError."""
        self._spawn(self._live())
        async with asyncio.timeout(GIVE_UP_S):
            await self._online.wait()

    async def close(self) -> None:
        """Disconnect for good."""
        await end_tasks(list(self._tasks))

    async def away(self) -> None:
        """Lose the connection without a goodbye, and stay away."""
        self._allowed.clear()
        if self._wire is not None:
            self._wire.abort()

    def back(self) -> None:
        """Come back."""
        self._allowed.set()

    def renew(self) -> None:
        """Come back with a new token, after a sign-out."""
        self._take_token()
        self.revoked.clear()
        self._renewed.set()

    def _take_token(self) -> None:
        self._issued = self._loop.time()
        self._token = self._issue()

    async def _live(self) -> None:
        """Keep one session, for ever."""
        for url in cycle(self._urls):
            await self._allowed.wait()
            if self.revoked.is_set():
                self._renewed.clear()
                await self._renewed.wait()
            await self._session(url)
            await asyncio.sleep(self._chance.uniform(*PAUSE_S))

    async def _session(self, url: str) -> None:
        """One session, from its handshake to its end."""
        lost = asyncio.Event()
        wire = Wire(self._on_event, lost.set)
        session = self._recorder.begin_session(self.name, self._issued, self._loop.time())
        refused = None
        try:
            ready = await wire.open(url, {"token": self._token, "device_id": self.device_id}, CONNECT_S)
            self._recorder.open_session(session, self._loop.time())
            if not self._allowed.is_set():
                return
            self._wire, self.node = wire, ready["node"]
            await self._catch_up(wire)
            self._online.set()
            await self._until_lost(wire, lost)
        except Refusal as exc:
            refused = str(exc.error.get("code"))
            if refused == REVOKED:
                self.revoked.set()
        except (WireError, OSError, TimeoutError):
            pass
        finally:
            wire.abort()
            self._online.clear()
            self._wire = None
            for room in self.rooms.values():
                room.disconnected()
            self._recorder.end_session(session, self._loop.time(), refused)

    async def _until_lost(self, wire: Wire, lost: asyncio.Event) -> None:
        """Wait until the connection has ended, or has been silent for too long."""
        while (left := wire.heard_at + SILENCE_S - self._loop.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    await lost.wait()
            except TimeoutError:
                continue
            return

    # Requests

    async def ask(self, event: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Send an event until it is answered; return its ack. Raises Refusal, or WireError without an answer."""
        if event in CHANGES:
            payload = {"request_id": uuid.uuid4().hex, **payload}
        give_up_at = self._loop.time() + GIVE_UP_S
        repeated = False
        while self._loop.time() < give_up_at:
            try:
                async with asyncio.timeout_at(give_up_at):
                    await self._online.wait()
                if self._wire is not None:
                    return await self._request(self._wire, event, payload)
            except Refusal as exc:
                if not exc.error.get("retryable"):
                    # An earlier try may still lie at a paused node, and be carried out there later.
                    exc.certain = not repeated
                    raise
            except (WireError, TimeoutError):
                pass
            repeated = True
            await asyncio.sleep(self._chance.uniform(*PAUSE_S))
        raise WireError(f"{event} got no answer in {GIVE_UP_S:g} s")

    async def _request(self, wire: Wire, event: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        sent_at = self._loop.time()
        try:
            async with asyncio.timeout(ANSWER_S):
                ack = await wire.request(event, dict(payload))
        except TimeoutError:
            if wire.heard_at < sent_at:
                wire.abort()  # the node is silent
            raise
        if not ack["ok"]:
            raise Refusal(ack["error"])
        return ack

    async def create(self, **settings: Any) -> str:
        """Create a conversation and follow it; return its id, which the server makes unless it is given."""
        return await self._follow("conversation:create", settings)

    async def join(self, conversation_id: str) -> None:
        """Become a member and follow the conversation, from where the device has come to."""
        room = self.rooms.setdefault(conversation_id, RawRoom(conversation_id))
        if not room.member:
            self._recorder.join_again(self.name, conversation_id)
        room.member = room.joining = True  # as far as it can know from now on
        try:
            await self._follow(
                "conversation:join", {"conversation_id": conversation_id, "position": room.position}
            )
        except Refusal:
            self._is_no_member(room)
            raise
        finally:
            room.joining = False

    async def leave(self, conversation_id: str) -> None:
        """Be a member no more; the device hears nothing until it joins again."""
        self._is_no_member(self.rooms[conversation_id])
        await self.ask("conversation:leave", {"conversation_id": conversation_id})

    async def send(self, conversation_id: str, text: str) -> None:
        """Send a message until it is acked. Raises Refusal or WireError."""
        request_id = uuid.uuid4().hex
        payload = {"conversation_id": conversation_id, "request_id": request_id, "text": text}
        self._recorder.begin_send(conversation_id, request_id, self.name, text, self._loop.time())
        try:
            ack = await self.ask("message:send", payload)
        except Refusal as exc:
            self._recorder.end_send(request_id, "failed" if exc.certain else "unknown", self._loop.time())
            raise
        except WireError:
            self._recorder.end_send(request_id, "unknown", self._loop.time())
            raise
        position = (ack["epoch"], ack["seq"])
        self._recorder.end_send(request_id, "ok", self._loop.time(), position, ack["run_id"])

    async def invite(self, conversation_id: str, user_id: str) -> None:
        """Invite a user."""
        self._recorder.invite(conversation_id, user_id)
        await self.ask("conversation:invite", {"conversation_id": conversation_id, "user_ids": [user_id]})

    async def sign_out(self, other: RawDevice) -> None:
        """Sign another device of the same user out."""
        invoked = self._loop.time()
        try:
            await self.ask("device:sign_out", {"device_id": other.device_id})
        except WireError:
            self._recorder.sign_out(other.name, invoked, None)
            raise
        self._recorder.sign_out(other.name, invoked, self._loop.time())

    async def reaches(self, conversation_id: str, seq: int, timeout: float) -> bool:
        """Wait until it has shown the entry `seq`; False when it has not in time."""
        room = self.rooms[conversation_id]
        try:
            async with asyncio.timeout(timeout), self._came:
                await self._came.wait_for(lambda: room.seq >= seq and not room.syncing)
        except TimeoutError:
            return False
        return True

    # Following

    def _is_no_member(self, room: RawRoom) -> None:
        """From now on it should hear nothing."""
        self._recorder.leave(self.name, room.conversation_id, self.user_id)
        room.member = False

    async def _follow(self, event: str, request: dict[str, Any]) -> str:
        chosen = request.get("conversation_id")
        if chosen is not None:  # what comes live before the answer is kept
            self.rooms.setdefault(chosen, RawRoom(chosen))
        result = await self.ask(event, request)
        conversation_id = str(result["conversation_id"])
        room = self.rooms.setdefault(conversation_id, RawRoom(conversation_id))
        room.member = True
        self._take_result(room, result)
        await self._tell()
        return conversation_id

    async def _catch_up(self, wire: Wire, rooms: Iterable[RawRoom] | None = None) -> None:
        """Ask where all conversations stand, or these."""
        chosen = self.rooms.values() if rooms is None else rooms
        positions = {room.conversation_id: room.position for room in chosen if room.member}
        if not positions:
            return
        for conversation_id in positions:
            self.rooms[conversation_id].asked = True
        answer = await self._request(wire, "session:sync", {"positions": positions})
        for conversation_id, result in answer["conversations"].items():
            room = self.rooms[conversation_id]
            if "error" not in result:  # also when it has asked to leave since
                self._take_result(room, result)
            elif room.member and not room.joining:  # otherwise the answer to its join tells
                self._is_no_member(room)
        await self._tell()

    def _take_result(self, room: RawRoom, result: Mapping[str, Any]) -> None:
        where = room.conversation_id
        if room.is_stale(result) or (room.epoch is not None and result["verdict"] == "snapshot"):
            return  # this request had to be repeated, and a sync was quicker
        if room.epoch is None:
            self._recorder.open_view(self.name, where, whole=result["after"] == 0)
        elif result["verdict"] == "reset":
            epoch, head = result["position"]["epoch"], result["head"]
            self._recorder.reset(self.name, where, result["reason"], epoch, head=head)
        self._show(room, room.caught_up(result))

    def _show(self, room: RawRoom, entries: Sequence[Envelope]) -> None:
        """Entries are shown; then it syncs, if anything is missing."""
        self._recorder.saw(self.name, room.conversation_id, *map(seen_in, entries))
        if entries:
            self._spawn(self._tell())
        wanted, room.wants_sync = room.wants_sync, False
        if wanted and room.member and self._wire is not None:
            self._spawn(self._sync(room, self._wire))

    async def _sync(self, room: RawRoom, wire: Wire) -> None:
        try:
            await self._catch_up(wire, [room])
        except (WireError, TimeoutError):
            wire.abort()  # the next session begins with a sync

    def _on_event(self, frame: bytes) -> None:
        event, payload = json.loads(frame[2:])[:2]
        if event == "session:ended":
            if self._wire is not None:
                self._wire.abort()
            return
        room = self.rooms.get(payload.get("conversation_id", ""))
        if room is None:
            return
        if event in ("entry:appended", "run:changed", "run:written"):
            if not room.syncing or room.member or room.asked:
                self._show(room, room.live(payload))
            elif event == "entry:appended":
                # It follows this conversation no more, so this should not have come.
                self._recorder.saw(self.name, room.conversation_id, seen_in(payload))
        elif event == "conversation:synced" and not room.is_stale(payload):
            self._show(room, room.synced(payload))
        elif event == "conversation:reset" and room.member:
            room.reset()
            self._show(room, [])

    async def _tell(self) -> None:
        async with self._came:
            self._came.notify_all()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

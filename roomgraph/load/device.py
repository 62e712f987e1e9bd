"""A light device: follows conversations and sends, notes whether all is as promised, and keeps nothing else."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from roomgraph.load.figures import Figures
from roomgraph.load.wire import Refusal, Wire, WireError
from sio_clients.route import Route
from sio_server.protocol.events import CHANGES, MAX_SYNC_CONVERSATIONS, STREAM_EVENTS, ClientEvent, ServerEvent
from sio_server.protocol.stream import KEPT_LIMIT

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 5.0
SEND_AGAIN_S = 0.2
GIVE_UP_S = 30.0
PACE_KEPT_S = 30.0  # a send is due so long at most before it is left out
DEVICE_PREFIX = "light-"
SILENCE_S = 10.0  # the node pings every 4 s and waits 4 s for the pong; 2 s more on a busy machine

_STREAM = tuple(f'42["{event}",'.encode() for event in STREAM_EVENTS)
_RESET = f'42["{ServerEvent.CONVERSATION_RESET}",'.encode()
_SYNCED = f'42["{ServerEvent.CONVERSATION_SYNCED}",'.encode()
_LEAVE = f'42["{ServerEvent.SESSION_ENDED}",'.encode()


class Heard(NamedTuple):
    """What a device looks at in an event of a conversation's stream."""

    conversation_id: str
    n: int  # 0: an entry of a page
    epoch: str  # "" and seq 0: not an entry
    seq: int
    device_id: str = ""
    request_id: str = ""  # of light devices: "<device id>.<number>.<when it was due, in microseconds>"
    due: float = 0.0  # 0.0: not a light device's message
    digest: int = 0


class Entries:
    """Reads entries, and knows those of each conversation that were heard last, for all devices of a process.

    What one device gets all others get as well, byte for byte, so it is read once.
    """

    def __init__(self) -> None:
        self._read: dict[bytes, Heard] = {}
        self._digests: dict[tuple[str, str, int], int] = {}

    def of_frame(self, frame: bytes) -> Heard:
        """The event in a frame of a conversation's stream."""
        heard = self._read.get(frame)
        if heard is None:
            if len(self._read) > 4096:
                self._read.clear()
            payload = json.loads(frame[2:])[1]
            if "seq" in payload:
                heard = self.of_envelope(payload)
            else:
                heard = Heard(payload["conversation_id"], payload["n"], "", 0)
            self._read[frame] = heard
        return heard

    def of_envelope(self, envelope: Mapping[str, Any]) -> Heard:
        """The entry of an envelope, live or in a page."""
        data = envelope["data"]
        digest = hash((envelope["type"], envelope["ts"], json.dumps(data, sort_keys=True)))
        device_id, request_id = str(data.get("device_id", "")), str(data.get("request_id", ""))
        light = device_id.startswith(DEVICE_PREFIX) and request_id.startswith(f"{device_id}.")
        due = int(request_id.rpartition(".")[2]) / 1e6 if light else 0.0
        where = envelope["conversation_id"], envelope.get("n", 0), envelope["epoch"], envelope["seq"]
        return Heard(*where, device_id, request_id, due, digest)

    def same(self, heard: Heard) -> bool:
        """Whether the entry is the one that was heard first at its position, as far back as that is known."""
        if len(self._digests) > 200_000:
            self._digests.clear()
        position = (heard.conversation_id, heard.epoch, heard.seq)
        return self._digests.setdefault(position, heard.digest) == heard.digest


@dataclass(slots=True)
class Place:
    """How far a device has come in one conversation."""

    conversation_id: str
    epoch: str = ""
    seq: int = 0
    n: int = 0
    synced: int = 0  # events up to this n may come live as well: the latest answer had them
    highest: float = 0  # the highest n that was heard while syncing
    behind: bool = False  # because an event is missing; what comes live after it was overtaken
    syncing: bool = True
    kept: dict[int, Heard] = field(default_factory=dict)

    @property
    def level(self) -> bool:
        return not self.syncing

    def lost(self) -> None:
        """Events are kept for the next answer from now on."""
        self.syncing, self.behind, self.highest = True, False, 0
        self.kept.clear()


class LightDevice:
    """One device of a user. It stays connected to some node of `urls` until it is closed.

    `figures` may be changed at any time: counts go to the one that is there at the moment.
    """

    def __init__(
        self,
        urls: Sequence[str],
        token: str,
        device_id: str,
        figures: Figures,
        entries: Entries,
        *,
        chance: random.Random | None = None,
    ) -> None:
        self.device_id = device_id
        self.figures = figures
        self.places: dict[str, Place] = {}
        self.node = ""  # the name of the node it is connected to
        self.online = False  # connected, and all that was missed is here or being read
        self.returned: Callable[[], None] = lambda: None
        self._entries = entries
        self._route = Route(urls, chance)
        self._auth = {"token": token, "device_id": device_id}
        self._wire: Wire | None = None
        self._lost = asyncio.Event()
        self._came_online = asyncio.Event()
        self._refusal: Refusal | None = None  # why it does not come back any more
        self._lost_at: float | None = None  # until all that was missed since is here
        self._sending = asyncio.Lock()
        self._number = 0
        self._unseen: dict[str, int | None] = {}  # own messages that have not come back yet -> seq of the ack
        self._last_own: dict[str, int] = {}  # conversation -> number of the own message that came last
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    # The connection

    async def start(self) -> None:
        """Connect; from now on the device comes back by itself. Raises Refusal when a node refuses it for good."""
        living = self._loop.create_task(self._live())
        self._tasks.add(living)
        waiting = self._loop.create_task(self._came_online.wait())
        await asyncio.wait({living, waiting}, timeout=GIVE_UP_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self.online:
            await self.close()
            if self._refusal is not None:
                raise self._refusal
            raise WireError(f"no node could be reached: {', '.join(self._route.urls)}")

    async def close(self) -> None:
        """Disconnect for good."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._wire is not None:
            self._wire.close()
        self.online = False

    def cut(self) -> None:
        """Lose the connection without a goodbye."""
        if self._wire is not None:
            self._wire.abort()

    def check_silence(self) -> None:
        """To be called each second: a connection that is silent for too long is lost."""
        if self._wire is not None and time.monotonic() - self._wire.heard_at > SILENCE_S:
            self._wire.abort()

    @property
    def level(self) -> bool:
        """Connected, and nothing is known to be missing."""
        return self.online and all(place.level for place in self.places.values())

    @property
    def unseen(self) -> int:
        """How many own messages were acked and have not come back."""
        return sum(seq is not None for seq in self._unseen.values())

    # Conversations

    async def create(self, conversation_id: str, title: str = "") -> None:
        """Create a conversation that is open to all, without an agent, and follow it."""
        request = {"conversation_id": conversation_id, "title": title, "access": "open", "agent": "off"}
        await self._follow(ClientEvent.CONVERSATION_CREATE, request)

    async def join(self, conversation_id: str) -> None:
        """Become a member of an open conversation and follow it."""
        await self._follow(ClientEvent.CONVERSATION_JOIN, {"conversation_id": conversation_id})

    async def send(self, conversation_id: str, text: str, due: float | None = None) -> bool:
        """Send a message, again and again until it is acked; return whether it was.

        `due`: when it should have been sent, by the loop's clock; the wait for the one before counts as well.
        """
        due = time.monotonic() if due is None else due
        async with self._sending:
            if time.monotonic() - due > PACE_KEPT_S:
                return False
            self._number += 1
            request_id = f"{self.device_id}.{self._number}.{int(due * 1e6)}"
            request = {"conversation_id": conversation_id, "request_id": request_id, "text": text}
            self._unseen[request_id] = None
            self.figures.sent += 1
            try:
                ack = await self.ask(ClientEvent.MESSAGE_SEND, request)
            except WireError as exc:
                del self._unseen[request_id]
                if isinstance(exc, Refusal):
                    self.figures.refused += 1
                else:
                    self.figures.given_up += 1
                return False
            self.figures.acked += 1
            self.figures.acks.add(time.monotonic() - due)
            came = self._unseen.get(request_id)
            if came is None:
                self._unseen[request_id] = ack["seq"]
            else:
                del self._unseen[request_id]
                self.figures.misplaced += came != -ack["seq"]
            return True

    async def ask(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send an event until it is answered, on new connections if need be. Raises Refusal or WireError."""
        if event in CHANGES:
            payload = {"request_id": uuid.uuid4().hex, **payload}
        give_up_at = time.monotonic() + GIVE_UP_S
        while True:
            try:
                async with asyncio.timeout(give_up_at - time.monotonic()):
                    await self._came_online.wait()
                return await self._request(event, payload)
            except Refusal as exc:
                if not exc.error.get("retryable"):
                    raise
            except (WireError, TimeoutError):
                pass
            if time.monotonic() > give_up_at:
                raise WireError(f"{event} got no answer in {GIVE_UP_S:g} s")
            await asyncio.sleep(SEND_AGAIN_S)

    # Inside

    async def _live(self) -> None:
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            if self._lost_at is not None:
                self.figures.attempts.add(began - self._lost_at)
            self._lost.clear()
            wire = Wire(self._on_frame, self._lost.set)
            try:
                ready = await wire.open(self._route.url, self._auth, CONNECT_TIMEOUT_S)
                self.figures.connects.add(time.monotonic() - began)
                self._wire, self.node = wire, ready["node"]
                if self._lost_at is not None:
                    self.figures.returns.add(time.monotonic() - self._lost_at)
                await self._sync([p for p in self.places.values() if p.epoch])
                self.online = True
                self._came_online.set()
                self._note_return()
                await self._lost.wait()
                self.figures.lost_connections += 1
                self._lost_at = time.monotonic()
                pause = self._route.lost()
                self.figures.pauses.add(pause)
            except Refusal as exc:
                self.figures.refused_connects += 1
                if not exc.error.get("retryable"):
                    self._refusal = exc
                    return
                pause = self._route.failed()
            except (WireError, OSError, TimeoutError):
                self.figures.failed_connects += 1
                pause = self._route.failed()
            finally:
                self.online = False
                self._came_online.clear()
                self._wire = None
                wire.abort()
                for place in self.places.values():
                    place.lost()

    async def _request(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        if self._wire is None:
            raise WireError("not connected")
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            ack = await self._wire.request(event, payload)
        if not ack["ok"]:
            raise Refusal(ack["error"])
        return ack

    async def _follow(self, event: str, request: dict[str, Any]) -> None:
        conversation_id = request["conversation_id"]
        place = self.places.setdefault(conversation_id, Place(conversation_id))
        if self._begin(place, await self.ask(event, request)):
            self._sync_again(place)

    async def _sync(self, places: list[Place]) -> None:
        """Sync until there is no more."""
        while places:
            batch = {place.conversation_id: place for place in places[:MAX_SYNC_CONVERSATIONS]}
            places = places[MAX_SYNC_CONVERSATIONS:]
            positions = {name: {"epoch": place.epoch, "seq": place.seq} for name, place in batch.items()}
            answer = await self._request(ClientEvent.SESSION_SYNC, {"positions": positions})
            for conversation_id, place in batch.items():
                result = answer["conversations"][conversation_id]
                if "error" in result:
                    raise WireError(f"{conversation_id}: {result['error']['code']}")
                if self._begin(place, result):
                    places.append(place)

    def _begin(self, place: Place, result: Mapping[str, Any]) -> bool:
        """The answer to a join or a sync came; returns whether another sync is needed."""
        if not place.syncing and result["n"] <= place.n:
            return False  # its request was repeated, and the sync of the new connection was quicker
        if result["verdict"] == "reset" and place.epoch:
            self.figures.resets += 1
        if result["verdict"] != "resumed":
            place.epoch, place.seq = result["position"]["epoch"], result["after"]
        for envelope in result["entries"]:
            if envelope["seq"] == place.seq + 1:
                self.figures.caught_up += 1
                self._hand_on(place, self._entries.of_envelope(envelope))
        if result["more"]:
            place.syncing = True
            return True
        place.n = place.synced = result["n"]
        highest, kept = place.highest, sorted(place.kept.items())
        place.lost()
        for n, heard in kept:
            if n > place.n and not self._apply(place, heard):
                return True
        if highest > place.n:
            return True
        place.syncing = False
        self._note_return()
        return False

    def _on_frame(self, frame: bytes) -> None:
        if frame.startswith(_STREAM):
            heard = self._entries.of_frame(frame)
            place = self.places.get(heard.conversation_id)
            if place is None:
                return
            if heard.seq:
                self.figures.delivered += 1
                if heard.due:
                    self.figures.latency.add(time.monotonic() - heard.due)
            else:
                self.figures.other_events += 1
            if place.syncing:
                self._keep(place, heard)
            elif heard.n <= place.n:
                self.figures.duplicated += heard.n > place.synced
            elif not self._apply(place, heard):
                self.figures.gaps += heard.n > place.n + 1
                self._sync_again(place)
                place.behind = True
                self._keep(place, heard)
        elif frame.startswith(_LEAVE):
            self.cut()
        elif frame.startswith((_RESET, _SYNCED)):
            payload = json.loads(frame[2:])[1]
            place = self.places.get(payload["conversation_id"])
            if place is not None and frame.startswith(_RESET):
                self._on_reset(place)
            elif place is not None:
                self._on_synced(place, payload)
        else:
            self.figures.other_events += 1

    def _keep(self, place: Place, heard: Heard) -> None:
        self.figures.reordered += place.behind and heard.n < place.highest
        place.highest = max(place.highest, heard.n)
        if len(place.kept) < KEPT_LIMIT:
            place.kept[heard.n] = heard

    def _apply(self, place: Place, heard: Heard) -> bool:
        """Apply the next event; False when it is not the next one."""
        if heard.n != place.n + 1 or (heard.seq and (heard.epoch, heard.seq) != (place.epoch, place.seq + 1)):
            return False
        place.n = heard.n
        if heard.seq:
            self._hand_on(place, heard)
        return True

    def _on_reset(self, place: Place) -> None:
        if place.syncing:
            place.highest = math.inf  # the answer on its way may be from before
        else:
            self._sync_again(place)

    def _on_synced(self, place: Place, result: Mapping[str, Any]) -> None:
        """The node brings what it has missed itself."""
        if place.syncing:
            place.highest = max(place.highest, result["n"])
        elif result["n"] > place.n:
            other = result["position"]["epoch"] != place.epoch or result["after"] > place.seq
            if other or self._begin(place, result):
                self._sync_again(place)

    def _sync_again(self, place: Place) -> None:
        place.syncing = True
        self._spawn(self._level(place))

    async def _level(self, place: Place) -> None:
        try:
            await self._sync([place])
        except (WireError, TimeoutError):
            self.cut()  # the next connection begins with a sync

    def _hand_on(self, place: Place, heard: Heard) -> None:
        """The next entry of the log is here."""
        place.seq = heard.seq
        if not self._entries.same(heard):
            self.figures.differing += 1
        if heard.device_id == self.device_id:
            self._match_own(place, heard)

    def _match_own(self, place: Place, heard: Heard) -> None:
        number = int(heard.request_id.split(".")[1])
        last = self._last_own.get(place.conversation_id, 0)
        self._last_own[place.conversation_id] = max(last, number)
        if number <= last:
            self.figures.duplicated += 1
            return
        acked = self._unseen.get(heard.request_id)
        if acked is not None:
            del self._unseen[heard.request_id]
            self.figures.misplaced += acked != heard.seq
        elif heard.request_id in self._unseen:
            self._unseen[heard.request_id] = -heard.seq  # the ack is still to come

    def _note_return(self) -> None:
        if self._lost_at is not None and self.level:
            self.figures.behind.add(time.monotonic() - self._lost_at)
            self._lost_at = None
            self.returned()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

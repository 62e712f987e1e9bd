"""Many light devices in one process: each a guest of its own, in conversations of realistic sizes."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence

import aiohttp

from roomgraph.load.device import DEVICE_PREFIX, Entries, LightDevice
from roomgraph.load.figures import Figures
from sio_clients.errors import NotConnected, from_wire
from sio_server.open_files import raise_open_files
from sio_server.tasks import end_tasks

SIZES = (10, 10, 15, 20, 25, 30, 50)  # of conversations; 23 on average
CONNECTING = 48  # at the same time
SPARE_FILES = 200
LINES = (
    "Good morning!",
    "Can somebody look at the second draft before noon?",
    "I am on the train, back at four",
    "Agreed. Let us take the small room, then, and move the rest to Thursday; I will tell the others.",
    "👍",
)

TokenSource = Callable[[int], Awaitable[list[str]]]


async def guest_tokens(urls: Sequence[str], count: int) -> list[str]:
    """Tokens of `count` new guests, from all nodes in turn. Raises Refused, Unavailable or NotConnected."""
    tokens = [""] * count
    numbers = iter(range(count))
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as http:

        async def ask() -> None:
            for number in numbers:
                url = urls[number % len(urls)]
                try:
                    async with http.post(f"{url}/api/guest", json={"name": f"Guest {number}"}) as response:
                        body = await response.json()
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
                    raise NotConnected(f"{url}: {exc or 'no answer'}") from None
                if response.status != 200:
                    raise from_wire(body.get("error"))
                tokens[number] = str(body["token"])

        await asyncio.gather(*(ask() for _ in range(min(count, 12))))
    return tokens


class Fleet:
    """Light devices that are connected, follow conversations and talk in them.

    `home`: the number of the node that all of them begin on; None: each on the next one.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        home: int | None = None,
        sizes: Sequence[int] = SIZES,
        seed: int | None = None,
        tokens: TokenSource | None = None,
    ) -> None:
        self.urls = list(urls)
        self.figures = Figures()
        self.devices: list[LightDevice] = []
        self.heads: dict[str, int] = {}  # conversation -> its newest entry, as it was read last
        self.late = 0  # sends that were left out, since the device was still at one before
        self._home = home
        self._sizes = list(sizes)
        self._chance = random.Random(seed)
        self._tokens = tokens or (lambda count: guest_tokens(self.urls, count))
        self._entries = Entries()
        self._name = uuid.uuid4().hex[:8]
        self._rooms: list[tuple[str, int]] = []  # conversation, how many more devices it takes
        self._opened = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None

    @property
    def conversations(self) -> int:
        """How many there are."""
        return self._opened

    async def grow(self, count: int) -> None:
        """Connect devices until there are `count`, and let each follow a conversation.

        Raises Refusal or WireError when the nodes will not have them, OSError when this process may not have
        so many connections.
        """
        first, new = len(self.devices), count - len(self.devices)
        allowed = raise_open_files()
        if allowed < count + SPARE_FILES:
            raise OSError(f"ulimit -n is {allowed}; {count} devices need {count + SPARE_FILES}")
        if self._watch is None:
            self._watch = asyncio.create_task(self._look())
        tokens = await self._tokens(new)
        devices = [self._device(first + number, token) for number, token in enumerate(tokens)]
        await self._at_once(self._start(device) for device in devices)
        # The first of each conversation creates it, the others join.
        placed = [(device, *self._room()) for device in devices]
        await self._at_once(device.create(room, "Load") for device, room, opens in placed if opens)
        await self._at_once(device.join(room) for device, room, opens in placed if not opens)

    async def talk(self, seconds: float, every_s: float) -> None:
        """Let each device write every `every_s` seconds on average, for so long.

        A send is due at its time whatever became of those before, and its latency counts from then.
        """
        began = time.monotonic()
        ends = began + seconds
        due = [(began + self._chance.uniform(0, every_s), n) for n in range(len(self.devices))]
        heapq.heapify(due)
        while due and due[0][0] < ends:
            at, number = due[0]
            if (early := at - time.monotonic()) > 0:
                await asyncio.sleep(early)
            device = self.devices[number]
            task = asyncio.create_task(self._say(device, self._chance.choice(LINES), at))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            heapq.heapreplace(due, (at + every_s * self._chance.uniform(0.5, 1.5), number))
        await asyncio.sleep(max(0.0, ends - time.monotonic()))

    async def settle(self, timeout_s: float) -> int:
        """Wait until every send has its end and every device has all entries; return how many are missing."""
        deadline = time.monotonic() + timeout_s
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        await self._read_heads()
        while (missing := self.missing()) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return missing

    def missing(self) -> int:
        """Entries that devices do not have, of those that were in the logs when these were read last."""
        behind = sum(
            max(0, self.heads.get(place.conversation_id, place.seq) - place.seq)
            for device in self.devices
            for place in device.places.values()
        )
        return behind + sum(device.unseen for device in self.devices)

    def take_figures(self) -> Figures:
        """The figures since the last call; counting starts over."""
        taken, self.figures = self.figures, Figures()
        for device in self.devices:
            device.figures = self.figures
        return taken

    async def close(self) -> None:
        """Disconnect all."""
        await end_tasks([self._watch, *self._tasks])
        await asyncio.gather(*(device.close() for device in self.devices))

    # Inside

    def _device(self, number: int, token: str) -> LightDevice:
        first = (number if self._home is None else self._home) % len(self.urls)
        urls = self.urls[first:] + self.urls[:first]
        device_id = f"{DEVICE_PREFIX}{self._name}-{number}"
        chance = random.Random(self._chance.random())
        return LightDevice(urls, token, device_id, self.figures, self._entries, chance=chance)

    async def _start(self, device: LightDevice) -> None:
        try:
            await device.start()
        except BaseException:
            await device.close()
            raise
        self.devices.append(device)

    def _room(self) -> tuple[str, bool]:
        """A conversation with room for one more, and whether it is to be created."""
        if self._rooms:
            room, left = self._rooms.pop()
            if left > 1:
                self._rooms.append((room, left - 1))
            return room, False
        self._opened += 1
        room = f"load-{self._name}-{self._opened}"
        self._rooms.append((room, self._chance.choice(self._sizes) - 1))
        return room, True

    async def _say(self, device: LightDevice, text: str, due: float) -> None:
        for conversation_id in device.places:
            self.late += not await device.send(conversation_id, text, due)

    async def _read_heads(self) -> None:
        members = {place.conversation_id: device for device in self.devices for place in device.places.values()}

        async def read(conversation_id: str, device: LightDevice) -> None:
            request = {"conversation_id": conversation_id, "limit": 1}
            page = await device.ask("history:read", request)
            self.heads[conversation_id] = page["head"]

        await self._at_once(read(name, device) for name, device in members.items())

    async def _at_once(self, works: Iterable[Awaitable[None]]) -> None:
        """Do them all, some at a time; the first error ends it."""
        waiting = list(works)[::-1]

        async def some() -> None:
            while waiting:
                await waiting.pop()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(CONNECTING, len(waiting))):
                    group.create_task(some())
        except* Exception as group:
            raise group.exceptions[0] from None
        finally:
            for work in waiting:
                work.close()  # type: ignore[attr-defined]

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for device in self.devices:
                device.check_silence()

"""The people of the chaos whose devices have no SDK: who leaves, is invited, is outrun and is signed out."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

from roomgraph.check.recorder import Recorder
from roomgraph.check.recording import seen_in
from roomgraph.load.wire import WireError
from roomgraph.tour.chaos_nodes import RETAINED, TOKEN_S, tokens
from roomgraph.tour.own import OwnCluster
from roomgraph.tour.raw_device import RawDevice
from roomgraph.tour.schedule import ActionKind
from sio_server.tasks import end_tasks

MEMBERS, GUESTS, PHONES = 2, 2, 2
PAUSE_S = 0.5  # between the ack of one message of a member and the next


class RawPeople:
    """Devices that are connected to all nodes.

    `members` follow and write into the conversation of all, and leave it at times. The `host` has a conversation
    of which little is kept, and which the `reader` follows. The `laptop` and the `phones` are one person's, and
    follow the conversation of all; that person invites the `guests` to another one.
    """

    def __init__(self, cluster: OwnCluster, recorder: Recorder) -> None:
        self._urls = cluster.urls
        self._last_node = str(cluster.ports[-1])
        self._tokens = tokens(cluster)
        self._recorder = recorder
        self._over = asyncio.Event()
        self._writers: list[asyncio.Task[None]] = []
        self.by_invitation = ""  # known when it has been created
        self.retained = f"retained-{uuid.uuid4().hex[:8]}"
        # Conversations of which little is kept are those that the last node creates.
        self.host = self._device("raw-host", first=len(self._urls) - 1)
        self.members = [self._device(f"raw-member-{n}", first=n) for n in range(MEMBERS)]
        self.guests = [self._device(f"raw-guest-{n}", first=n) for n in range(GUESTS)]
        self.reader = self._device("raw-reader")
        self.laptop = self._device("raw-laptop")
        user_id = self.laptop.user_id
        self.phones = [self._device(f"raw-phone-{n}", first=n + 1, user_id=user_id) for n in range(PHONES)]

    def _device(self, name: str, *, first: int = 0, user_id: str = "") -> RawDevice:
        user_id = user_id or f"{name}-{uuid.uuid4().hex[:8]}"
        first %= len(self._urls)
        urls = self._urls[first:] + self._urls[:first]
        return RawDevice(name, user_id, urls, lambda: self._tokens.issue(user_id, name, TOKEN_S), self._recorder)

    @property
    def devices(self) -> list[RawDevice]:
        """All of them."""
        return [self.host, self.reader, self.laptop, *self.members, *self.guests, *self.phones]

    @property
    def targets(self) -> dict[ActionKind, int]:
        """How many targets each kind of their actions has."""
        return {
            ActionKind.LEAVE: len(self.members),
            ActionKind.INVITE: len(self.guests),
            ActionKind.OUTRUN: 1,
            ActionKind.SIGN_OUT: len(self.phones),
        }

    async def start(self, conversation_id: str) -> None:
        """Connect all, join the conversation of all, and begin to write. Raises RuntimeError."""
        try:
            await self._start(conversation_id)
        except (WireError, TimeoutError) as exc:
            raise RuntimeError(f"a client without the SDK could not begin: {exc or 'no answer'}") from None

    async def _start(self, conversation_id: str) -> None:
        await asyncio.gather(*(device.start() for device in self.devices))
        self.by_invitation = await self.laptop.create(access="invitation", agent="off")
        if self.host.node != self._last_node or self.laptop.node == self._last_node:
            raise RuntimeError("a node did not answer, though nothing was broken yet")
        await self.host.create(conversation_id=self.retained, access="open", agent="off")
        self._recorder.retain(self.retained, RETAINED)
        await self.reader.join(self.retained)
        for device in (*self.members, self.laptop, *self.phones):
            await device.join(conversation_id)
        self._writers = [asyncio.create_task(self._write(device, conversation_id)) for device in self.members]

    async def stop(self) -> None:
        """Write no more."""
        self._over.set()
        await asyncio.gather(*self._writers)
        for phone in self.phones:
            if phone.revoked.is_set():  # by a sign-out that had no answer
                phone.renew()

    async def level(self, timeout: float) -> list[str]:
        """Wait until all have all that is in their logs; returns the names of those that have not.

        Records the logs that no other device has. Raises RuntimeError when they cannot be read.
        """
        try:
            await self._record_log(self.laptop, self.by_invitation)
            await self._record_log(self.host, self.retained)
        except WireError as exc:
            raise RuntimeError(f"a log could not be read: {exc}") from None
        waiting = [
            (device, room.conversation_id)
            for device in self.devices
            for room in device.rooms.values()
            if room.member
        ]
        late = await asyncio.gather(*(self._settle(device, where, timeout) for device, where in waiting))
        return sorted({name for name in late if name})

    async def _settle(self, device: RawDevice, conversation_id: str, timeout: float) -> str:
        request = {"conversation_id": conversation_id, "limit": 1}
        try:
            head = (await device.ask("history:read", request))["head"]
        except WireError:
            return device.name
        if not await device.reaches(conversation_id, head, timeout):
            return device.name
        self._recorder.settle(device.name, conversation_id)
        return ""

    async def _record_log(self, device: RawDevice, conversation_id: str) -> None:
        after, head = 0, 1
        while after < head:
            request = {"conversation_id": conversation_id, "after": after, "limit": 200}
            page = await device.ask("history:read", request)
            self._recorder.log(conversation_id, *map(seen_in, page["entries"]))
            after, head = page["entries"][-1]["seq"], page["head"]

    async def close(self) -> None:
        """Disconnect all."""
        await end_tasks(self._writers)
        await asyncio.gather(*(device.close() for device in self.devices))

    async def _write(self, device: RawDevice, conversation_id: str) -> None:
        """Refused while it is no member, which is recorded as any other outcome."""
        number = 0
        while not self._over.is_set():
            number += 1
            with contextlib.suppress(WireError):
                await device.send(conversation_id, f"{device.name} {number}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S):
                    await self._over.wait()

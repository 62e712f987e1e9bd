"""The traffic of a scene while things break: people who write all the time, and ask for answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Container, Sequence
from functools import partial
from math import inf

from roomgraph.check.history import FINAL_TYPES
from roomgraph.check.recording import Final, RecordedDevice
from roomgraph.tour.figures import Arrivals
from roomgraph.tour.stage import WAIT_S, Stage
from sio_clients.errors import RoomgraphError
from sio_server.protocol.events import Entry, EntryType

PAUSE_S = 0.1  # between the ack of one message and the next


class Traffic:
    """Everyone writes into one conversation, until `stop`. Agents are asked in conversations beside it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = asyncio.Event()
        self._writers: list[asyncio.Task[None]] = []
        self.devices = stage.devices
        self.conversation_id = ""
        self.asked: list[str] = []  # the conversations with agents
        self.regenerated: dict[str, set[str]] = {}  # conversation -> runs that were asked for without a message

    async def start(self, title: str) -> None:
        """Everyone joins and begins to write; returns when something of everyone has come to everyone."""
        first, *others = self.devices
        self.conversation_id = (await first.create(title, agent="off")).id
        for device in others:
            await device.join(self.conversation_id)
        self._writers = [
            asyncio.create_task(self._write(device, index)) for index, device in enumerate(self.devices)
        ]
        everyone = {device.client.user_id for device in self.devices}

        def heard(entries: list[Entry]) -> bool:
            return everyone <= {entry.author for entry in entries if entry.type == EntryType.MESSAGE}

        await asyncio.gather(*(d.until(self.conversation_id, heard, WAIT_S) for d in self.devices))

    async def open(self, title: str, graph: str) -> str:
        """Open a conversation with an agent, for everyone; returns its id."""
        first, *others = self.devices
        created = await first.client.create(title, access="open", agent="always", graph=graph)
        for device in (first, *others):
            await device.join(created.id)
        self.asked.append(created.id)
        return created.id

    async def ask(self, device: RecordedDevice, conversation_id: str, text: str) -> Entry | None:
        """Say something to the agent, and wait for its answer; None when there is none, or nobody can know."""
        try:
            ack = await device.send(conversation_id, text)
        except RoomgraphError:
            return None  # it may be in the log all the same: then its run is found there
        return await self._end(device, conversation_id, ack.run_id)

    async def book(self, device: RecordedDevice, other: RecordedDevice, conversation_id: str, text: str) -> None:
        """Ask the concierge for a room; when it asks back, two devices say yes at the same time."""
        question = await self.ask(device, conversation_id, text)
        if question is None or question.type != EntryType.INTERRUPT:
            return
        asked = question.data["interrupts"][0]
        answer = asked["value"]["options"][0]["value"]
        # The second one is refused, or neither knows: the log says which of them counted.
        await asyncio.gather(
            *(one.conversation(conversation_id).respond(asked["interrupt_id"], answer) for one in (device, other)),
            return_exceptions=True,
        )
        latest = reversed(device.entries[conversation_id])
        resolved = next((entry for entry in latest if entry.type == EntryType.INTERRUPT_RESOLVED), None)
        if resolved is not None:
            await self._end(device, conversation_id, resolved.data.get("run_id"))

    async def _end(self, device: RecordedDevice, conversation_id: str, run_id: str | None) -> Entry | None:
        """Wait for the final entry of a run."""
        if run_id is None or not await device.ended(conversation_id, run_id, WAIT_S):
            return None
        latest = reversed(device.entries[conversation_id])
        return next((e for e in latest if e.type in FINAL_TYPES and e.data["run_id"] == run_id), None)

    async def stop(self) -> None:
        """Everyone writes a last word, and no more."""
        self._over.set()
        await asyncio.gather(*self._writers)

    async def edit(self, device: RecordedDevice, conversation_id: str, text: str) -> None:
        """Replace the device's last message, and wait for the answer; it may be too late for that."""
        messages = device.messages[conversation_id]
        if messages and messages[-1].author == device.client.user_id:
            ack = await device.edit(conversation_id, messages[-1].seq, text)
            await self._end(device, conversation_id, ack.run_id)

    async def regenerate(self, device: RecordedDevice, conversation_id: str) -> None:
        """Have the last turn answered again, and wait for that; there may be a later one by now."""
        ends = [ends[-1].seq for ends in device.finals[conversation_id].values()]
        if ends:
            run_id = await device.regenerate(conversation_id, max(ends))
            self.regenerated.setdefault(conversation_id, set()).add(run_id)
            await self._end(device, conversation_id, run_id)

    async def runs_end(self) -> int:
        """Wait until everything that was asked has an end; returns the number of conversations that lack one."""
        return sum([not await self._all_ended(conversation_id) for conversation_id in self.asked])

    async def _all_ended(self, conversation_id: str) -> bool:
        """Wait for what has no end in the log yet, at the first device.

        Of what has one the device may know nothing: when the log began a new epoch it started over, with the
        latest entries. Whether it has been given all that it should have is for the checker to judge.
        """
        first = self.devices[0]
        asked, answered = set[int](), set[int]()
        begun, ended = set(self.regenerated.get(conversation_id, ())), set[str]()
        async for page in first.log_pages(conversation_id):
            for entry in page:
                if entry.type == EntryType.MESSAGE:
                    asked.add(entry.seq)
                elif entry.type == EntryType.INTERRUPT_RESOLVED and entry.data.get("run_id"):
                    begun.add(entry.data["run_id"])
                elif entry.type in FINAL_TYPES:
                    answered.add(entry.data["input_seq"])
                    ended.add(entry.data["run_id"])
        for seq in sorted(asked - answered):
            if not await first.until(conversation_id, partial(_has, first.answered[conversation_id], seq), WAIT_S):
                return False
        for run_id in begun - ended:
            if not await first.ended(conversation_id, run_id, WAIT_S):
                return False
        return True

    def runs(self) -> dict[str, list[Final]]:
        """The ends of all runs, as the first device has them."""
        runs: dict[str, list[Final]] = {}
        for conversation_id in self.asked:
            runs |= self.devices[0].finals[conversation_id]
        return runs

    def counts(self, device: RecordedDevice) -> tuple[int, int]:
        """How many messages of its own a device has in the conversation, and how many of others."""
        messages = device.messages[self.conversation_id]
        own = sum(message.author == device.client.user_id for message in messages)
        return own, len(messages) - own

    async def level(self) -> bool:
        """Wait until everyone has everything, and record the logs; False when somebody has not."""
        level = True
        for conversation_id in (self.conversation_id, *self.asked):
            level &= await self._stage.level(conversation_id, self.devices)
        return level

    async def cancel(self) -> None:
        """End the writing at once."""
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)

    def arrivals(self, devices: Sequence[RecordedDevice] = ()) -> Arrivals:
        """When which message has come to which device, for the first time if it came again after a reset."""
        return {device.name: device.news[self.conversation_id] for device in devices or self.devices}

    def latencies(
        self, devices: Sequence[RecordedDevice] = (), *, since: float = 0.0, until: float = inf
    ) -> list[float]:
        """Of what these devices have sent within a time: how long until it came to each of the others of them."""
        among = devices or self.devices
        names = {device.name for device in among}
        sent = [
            send
            for send in self._stage.recorder.sends()
            if send.device in names
            and send.conversation_id == self.conversation_id
            and since <= send.invoked < until
        ]
        return [
            device.arrived[send.request_id] - send.invoked
            for device in among
            for send in sent
            if send.device != device.name and send.request_id in device.arrived
        ]

    async def _write(self, device: RecordedDevice, index: int) -> None:
        number = 0
        while True:
            over = self._over.is_set()
            with contextlib.suppress(RoomgraphError):  # whether it is in the log is for the checker to find out
                await device.send(self.conversation_id, self._stage.people[index].line(number))
            if over:
                return
            number += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S):
                    await self._over.wait()


def _has(known: Container[object], wanted: object, entries: list[Entry]) -> bool:
    return wanted in known

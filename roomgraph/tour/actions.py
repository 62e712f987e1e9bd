"""Plays the actions of a schedule: what people and programs do while things break."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from roomgraph.check.recording import RecordedDevice
from roomgraph.load.wire import WireError
from roomgraph.tour.chaos_nodes import RETAINED
from roomgraph.tour.player import Player
from roomgraph.tour.raw_people import RawPeople
from roomgraph.tour.schedule import Action, ActionKind
from roomgraph.tour.traffic import Traffic
from sio_clients.errors import RoomgraphError

OUTRUN_BY = RETAINED + 10  # messages that a device misses which is outrun
REVOKED_S = 60.0  # until a device knows that it was signed out, in the middle of faults


@dataclass
class Asking:
    """A conversation in which one device asks the agent all the time. The lock is held during each question."""

    device: RecordedDevice
    conversation_id: str
    text: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Actions(Player[Action]):
    """Plays actions. Whether one is refused, or gets no answer, is for the checker to judge."""

    def __init__(self, traffic: Traffic, people: RawPeople, asking: list[Asking]) -> None:
        super().__init__()
        self._traffic = traffic
        self._people = people
        self._asking = asking
        self._acts = {
            ActionKind.LEAVE: self._leave,
            ActionKind.INVITE: self._invite,
            ActionKind.EDIT: self._edit,
            ActionKind.REGENERATE: self._regenerate,
            ActionKind.STOP: self._stop,
            ActionKind.OUTRUN: self._outrun,
            ActionKind.SIGN_OUT: self._sign_out,
        }

    @property
    def kinds(self) -> dict[ActionKind, int]:
        """How many targets each kind has."""
        edits = dict.fromkeys((ActionKind.EDIT, ActionKind.REGENERATE, ActionKind.STOP), len(self._asking))
        return {**self._people.targets, **edits}

    def targets(self, item: Action) -> list[str]:
        # One host invites, one host writes what is not kept, and one device signs out the others.
        alone = {ActionKind.INVITE, ActionKind.OUTRUN, ActionKind.SIGN_OUT}
        return [item.kind.value if item.kind in alone else f"{item.kind} {item.target}"]

    async def carry_out(self, item: Action) -> None:
        with contextlib.suppress(RoomgraphError, WireError, TimeoutError):
            await self._acts[item.kind](item)

    async def _leave(self, action: Action) -> None:
        member, where = self._people.members[action.target], self._traffic.conversation_id
        await member.leave(where)
        await asyncio.sleep(action.seconds)
        await member.join(where)

    async def _invite(self, action: Action) -> None:
        """A guest is let in once for each invitation."""
        host, guest, where = self._people.laptop, self._people.guests[action.target], self._people.by_invitation
        await host.invite(where, guest.user_id)
        await guest.join(where)
        await guest.send(where, f"{guest.name} is here")
        await host.send(where, f"{guest.name} is welcome")
        await guest.leave(where)
        await asyncio.sleep(action.seconds)
        await host.send(where, "a word among ourselves")
        await guest.join(where)  # refused; if it is not, the log shows it

    async def _edit(self, action: Action) -> None:
        asking = self._asking[action.target]
        await self._traffic.edit(asking.device, asking.conversation_id, f"{asking.text} No: {action.at}.")

    async def _regenerate(self, action: Action) -> None:
        asking = self._asking[action.target]
        async with asking.lock:
            await self._traffic.regenerate(asking.device, asking.conversation_id)

    async def _stop(self, action: Action) -> None:
        asking = self._asking[action.target]
        await asking.device.conversation(asking.conversation_id).stop()

    async def _outrun(self, action: Action) -> None:
        host, reader, where = self._people.host, self._people.reader, self._people.retained
        await reader.away()
        try:
            for number in range(OUTRUN_BY):
                await host.send(where, f"{action.at} {number}")
        finally:
            reader.back()

    async def _sign_out(self, action: Action) -> None:
        laptop, phone = self._people.laptop, self._people.phones[action.target]
        await laptop.sign_out(phone)
        try:
            async with asyncio.timeout(REVOKED_S):
                await phone.revoked.wait()
            await asyncio.sleep(action.seconds)
        finally:
            phone.renew()

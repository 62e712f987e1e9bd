"""The bus has a connection of its own: what it says may come before the reply to the command that caused it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sio_server.conversation.log import Author
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.requests.devices import DeviceRequests
from sio_server.gateway.sessions.mirror import SessionMirror
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.sessions.sign_out import SignOuts
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import DeviceSignOut
from sio_server.store.keys import node_sessions, user_room, user_sessions
from sio_server.store.scripts import Scripts
from sio_server.trace.recording import Trace
from sio_server.users.devices import Devices, LiveSession

ENDED = {"reason": "signed_out", "by": {"device_id": "laptop", "device_name": "Laptop"}}


class Overtaken(Devices):
    """Devices in a real Redis, whose replies come after `news` has been heard."""

    news: Callable[[], None] = staticmethod(lambda: None)
    revoked = False  # meanwhile, each session that is opened

    async def open(self, session: LiveSession, *, max_sessions: int = 0) -> tuple[str, int]:
        opened = await super().open(session, max_sessions=max_sessions)
        if self.revoked:
            await self.revoke(session.user_id, session.device_id)
        self.news()
        for _ in range(10 if self.revoked else 0):  # whatever the news has set off may go on
            await asyncio.sleep(0.001)
        return opened

    async def sign_out(self, session_id: str, by: Author, device_id: str) -> int:
        count = await super().sign_out(session_id, by, device_id)
        self.news()
        for _ in range(10):  # whatever the news has set off may go on
            await asyncio.sleep(0)
        return count


class Edge:
    """The bus, the rooms and the socket of a node, as far as an ending session meets them."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def deliver(self, sid: str, event: str, payload: Any) -> int:
        self.done.append(event)
        return 1

    def basic_leave_room(self, sid: str, namespace: str, room: str) -> None:
        self.done.append(f"left {room}")

    def leave_all(self, sid: str) -> None:
        self.done.append("left its conversations")

    async def disconnect(self, sid: str) -> None:
        self.done.append("closed")


@pytest.fixture
def devices(redis, members) -> Overtaken:
    return Overtaken(redis, Scripts(redis), members)


@pytest.fixture
def mirror(redis, devices, new_id) -> SessionMirror:
    return SessionMirror(redis, devices, f"node-{new_id}", "n", on_signed_out=lambda session, by: None)


@pytest.fixture
def sessions(mirror) -> Sessions:
    return Sessions(mirror, Metrics(), Trace("n"))


@pytest.fixture
def edge() -> Edge:
    return Edge()


@pytest.fixture
async def sign_outs(edge, sessions, mirror, devices) -> AsyncIterator[SignOuts]:
    made = SignOuts(edge, sessions, mirror, devices, edge, edge.disconnect)
    yield made
    await made.stop()


def session_of(new_id: str, name: str = "Phone") -> Session:
    return Session(f"s-{new_id}", new_id, "Ann", "phone", name, issued_ms=1)


async def test_a_session_does_not_begin_when_the_bus_says_first_that_it_has_ended(
    redis, devices, mirror, sessions, sign_outs, new_id
):
    session = session_of(new_id)
    devices.revoked = True
    devices.news = lambda: sign_outs.on_session_ended(ENDED, [session.sid])
    with pytest.raises(Unavailable):
        await sessions.open(session)
    assert sessions.get(session.sid) is None
    await mirror.clean_up()
    assert await redis.exists(user_sessions(new_id), node_sessions(f"node-{new_id}")) == 0


async def test_a_rename_that_the_bus_brings_before_the_reply_is_not_undone_by_the_reply(devices, sessions, new_id):
    session = session_of(new_id)
    listed = {"device_id": "phone", "device_name": "Pocket"}
    devices.news = lambda: sessions.rename_devices(user_room(new_id), [listed])
    await sessions.open(session)
    assert session.device_name == "Pocket"


async def test_a_session_that_signs_itself_out_gets_the_ack_before_its_end_though_the_bus_is_faster(
    devices, sessions, sign_outs, edge, new_id
):
    session = session_of(new_id)
    await sessions.open(session)
    devices.news = lambda: sign_outs.on_session_ended(ENDED, [session.sid, "of-another-node"])
    requests = DeviceRequests(devices, sign_outs)
    ack = await requests.sign_out(session, DeviceSignOut(device_id="phone"))
    edge.done.append("acked")  # in the same step of the loop, as the library does
    assert ack == {"device_id": "phone", "sessions": 1}
    assert edge.done == ["left its conversations", f"left user:{new_id}", "acked"], (
        "it gets nothing more, but the ack"
    )
    assert sessions.get(session.sid) is None
    async with asyncio.timeout(5):
        await asyncio.gather(*sign_outs._tasks)
    assert edge.done[3:] == ["session:ended", "closed"]

"""A node hears the bus on another connection than Redis' replies: the news may come before the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sio_server.conversation.log import Author
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.requests.devices import DeviceRequests
from sio_server.gateway.sessions.registry import Session, Sessions
from sio_server.gateway.sessions.sign_out import Endings
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
def sessions(redis, devices, new_id) -> Sessions:
    return Sessions(redis, devices, f"node-{new_id}", "n", Metrics(), Trace("n"))


def session_of(new_id: str, name: str = "Phone") -> Session:
    return Session(f"s-{new_id}", new_id, "Ann", "phone", name, issued_ms=1)


async def test_an_end_that_is_heard_before_its_session_has_begun_prevents_it(redis, devices, sessions, new_id):
    session, edge = session_of(new_id), Edge()
    endings = Endings(edge, sessions, devices, edge, edge.disconnect)  # type: ignore[arg-type]
    devices.revoked = True
    devices.news = lambda: endings.hear(ENDED, [session.sid])
    with pytest.raises(Unavailable):
        await sessions.open(session)
    assert sessions.get(session.sid) is None
    await sessions.tidy()
    assert await redis.exists(user_sessions(new_id), node_sessions(f"node-{new_id}")) == 0


async def test_a_rename_that_is_heard_before_the_reply_is_not_undone_by_it(devices, sessions, new_id):
    session = session_of(new_id)
    listed = {"device_id": "phone", "device_name": "Pocket"}
    devices.news = lambda: sessions.renamed(user_room(new_id), [listed])
    await sessions.open(session)
    assert session.device_name == "Pocket"


async def test_who_signs_itself_out_is_acked_first_though_the_news_is_there_before(devices, sessions, new_id):
    session, edge = session_of(new_id), Edge()
    await sessions.open(session)
    endings = Endings(edge, sessions, devices, edge, edge.disconnect)  # type: ignore[arg-type]
    devices.news = lambda: endings.hear(ENDED, [session.sid, "of-another-node"])
    requests = DeviceRequests(devices, None, None, endings)  # type: ignore[arg-type]
    ack = await requests.sign_out(session, DeviceSignOut(device_id="phone"))
    edge.done.append("acked")  # in the same step of the loop, as the library does
    assert ack == {"device_id": "phone", "sessions": 1}
    assert edge.done == ["left its conversations", f"left user:{new_id}", "acked"], (
        "it gets nothing more, but the ack"
    )
    assert sessions.get(session.sid) is None
    async with asyncio.timeout(5):
        await asyncio.gather(*endings._tasks)
    assert edge.done[3:] == ["session:ended", "closed"]

"""The bus has a connection of its own: what it says may come before the reply to the command that caused it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from sio_server.conversation.author import Author
from sio_server.gateway.requests.devices import DeviceRequests
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import DeviceSignOut
from sio_server.store.keys import node_sessions, user_room, user_sessions
from sio_server.store.scripts import Request
from sio_server.users.session_records import LiveSession, Opened, SessionRecords
from sio_server.users.sign_out import RefusedTokens
from tests.integration.session_parts import SessionParts, session_of
from tests.waiting import within

ENDED = {"reason": "signed_out", "by": {"device_id": "laptop", "device_name": "Laptop"}}


class OvertakenRecords(SessionRecords):
    """Session records in a real Redis, whose replies come after `on_bus` was called."""

    on_bus: Callable[[], None] = staticmethod(lambda: None)
    revoke: Callable[[str, str], Awaitable[int]] | None = None  # meanwhile, each session that is opened

    async def open(self, session: LiveSession, **options: Any) -> Opened:
        opened = await super().open(session, **options)
        if self.revoke:
            await self.revoke(session.user_id, session.device_id)
        self.on_bus()
        for _ in range(10 if self.revoke else 0):  # what that has set off may go on
            await asyncio.sleep(0.001)
        return opened


class OvertakenSignOut(RefusedTokens):
    """Sign-outs in a real Redis, whose replies come after `on_bus` was called."""

    on_bus: Callable[[], None] = staticmethod(lambda: None)

    async def sign_out(self, session_id: str, by: Author, device_id: str, request: Request | None = None) -> int:
        count = await super().sign_out(session_id, by, device_id, request)
        self.on_bus()
        for _ in range(10):  # what that has set off may go on
            await asyncio.sleep(0)
        return count


@pytest.fixture
async def parts(redis, new_id) -> AsyncIterator[SessionParts]:
    made = SessionParts(redis, f"node-{new_id}", OvertakenRecords, OvertakenSignOut)
    yield made
    await made.stop()


async def test_a_session_does_not_begin_when_the_bus_says_first_that_it_has_ended(redis, parts, new_id):
    session = session_of(new_id)
    parts.records.revoke = parts.refused_tokens.revoke
    parts.records.on_bus = lambda: parts.sign_outs.on_session_ended(ENDED, [session.sid])
    with pytest.raises(Unavailable):
        await parts.sessions.open(session)
    assert parts.sessions.get(session.sid) is None
    await parts.ends.clean_up()
    assert await redis.exists(user_sessions(new_id), node_sessions(f"node-{new_id}")) == 0


async def test_a_rename_that_the_bus_brings_before_the_reply_is_not_undone_by_the_reply(parts, new_id):
    session = session_of(new_id)
    listed = {"device_id": "phone", "device_name": "Pocket", "sessions": []}
    parts.records.on_bus = lambda: parts.sessions.rename_devices(user_room(new_id), [listed])
    await parts.sessions.open(session)
    assert session.device_name == "Pocket"


async def test_a_session_that_signs_itself_out_is_acked_before_its_end_though_the_bus_is_faster(parts, new_id):
    session, edge = session_of(new_id), parts.edge
    await parts.sessions.open(session)
    parts.refused_tokens.on_bus = lambda: parts.sign_outs.on_session_ended(ENDED, [session.sid, "of-another-node"])
    requests = DeviceRequests(parts.devices, None, parts.refused_tokens, parts.sign_outs)
    ack = await requests.sign_out(session, DeviceSignOut(request_id="r", device_id="phone"))
    edge.done.append("acked")  # in the same step of the loop, as the library does
    assert ack == {"device_id": "phone", "sessions": 1}
    assert edge.done == ["left its conversations", f"left user:{new_id}", "acked"]
    assert parts.sessions.get(session.sid) is None
    async with within(5, "the end of the session"):
        await asyncio.gather(*parts.sign_outs._tasks)
    assert edge.done[3:] == ["session:ended", "closed"]

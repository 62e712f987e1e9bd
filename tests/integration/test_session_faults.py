"""One session that cannot be handled, or one step that fails, keeps no other session from being looked after."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions import mirror as mirror_module
from sio_server.gateway.sessions import sign_out as sign_out_module
from sio_server.gateway.sessions.disconnects import DisconnectReasons
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.transport.drop_reasons import DropReason
from sio_server.protocol.errors import Unavailable
from sio_server.store.keys import LAST_END_MS, node_sessions, user_last_end, user_sessions
from sio_server.tasks import Supervisor
from sio_server.users.session_records import SessionRecords
from sio_server.users.sign_out import RefusedTokens
from tests.integration.session_parts import SessionParts, session_of
from tests.waiting import poll


class Errors:
    """Each call first raises one of `errors`."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.calls = 0

    def fail(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


class FailingRecords(SessionRecords):
    """Session records in a real Redis; `names` may fail first."""

    failures: Errors

    async def names(self, sessions: Iterable[tuple[str, str, str]]) -> list[str | None]:
        self.failures.fail()
        return await super().names(sessions)


class FailingTokens(RefusedTokens):
    """Refused tokens in a real Redis; `revocations` may fail first."""

    failures: Errors

    async def revocations(self) -> str:
        self.failures.fail()
        return await super().revocations()


@pytest.fixture
async def parts(redis, new_id) -> AsyncIterator[SessionParts]:
    made = SessionParts(redis, f"node-{new_id}", FailingRecords, FailingTokens)
    made.records.failures = made.refused_tokens.failures = Errors()
    yield made
    await made.stop()


@pytest.fixture
async def supervisor(monkeypatch) -> AsyncIterator[Supervisor]:
    monkeypatch.setattr("sio_server.tasks.FIRST_BACK_OFF_S", 0.01)
    made = Supervisor()
    yield made
    await made.stop()


async def opened(parts: SessionParts, *user_ids: str) -> list[Session]:
    sessions = [session_of(user_id) for user_id in user_ids]
    for session in sessions:
        await parts.sessions.open(session)
    return sessions


async def test_ended_sessions_are_removed_though_redis_refuses_to_remove_one(redis, parts, new_id):
    bad, good = await opened(parts, f"{new_id}-bad", f"{new_id}-good")
    await redis.set(user_sessions(bad.user_id), "no hash")
    for session in (bad, good):
        parts.sessions.close(session.sid)
    await parts.ends.clean_up()
    assert await redis.exists(user_sessions(good.user_id)) == 0
    # What was refused is tried again: now it can be removed.
    await redis.delete(user_sessions(bad.user_id))
    await parts.ends.clean_up()
    assert await redis.exists(node_sessions(f"node-{new_id}")) == 0


async def test_a_dead_node_is_reaped_though_redis_refuses_to_remove_one_session(redis, parts, new_id):
    bad, good = await opened(parts, f"{new_id}-bad", f"{new_id}-good")
    await redis.set(user_sessions(bad.user_id), "no hash")
    await parts.ends.reap(f"node-{new_id}")
    assert await redis.exists(user_sessions(good.user_id)) == 0


@pytest.mark.parametrize("again", ["reconcile", "register_again"])
async def test_sessions_are_written_again_though_redis_refuses_to_write_one(redis, parts, new_id, again):
    names = [f"{new_id}-a", f"{new_id}-bad", f"{new_id}-c"]
    first, bad, last = await opened(parts, *names)
    for session in (first, last):
        await redis.delete(user_sessions(session.user_id))
    await redis.set(user_sessions(bad.user_id), "no hash")
    await getattr(parts.mirror, again)()
    for session in (first, last):
        assert await redis.hexists(user_sessions(session.user_id), session.sid)


@pytest.mark.parametrize(
    "error",
    [Unavailable("away"), RuntimeError("a bug"), SystemExit(1), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
async def test_a_requested_reconcile_is_done_after_one_that_failed(
    redis, parts, new_id, supervisor, monkeypatch, error
):
    monkeypatch.setattr(mirror_module, "AGAIN_S", 0.01)
    (session,) = await opened(parts, new_id)
    await redis.delete(user_sessions(new_id))
    parts.records.failures.errors = [error]
    supervisor.start("mirror", parts.mirror.run_reconciles)
    parts.mirror.request_reconcile()
    await poll(
        lambda: (
            parts.records.failures.calls >= 2 or (parts.records.failures.calls and isinstance(error, RuntimeError))
        )
    )
    parts.mirror.request_reconcile()
    await poll(lambda: redis.hexists(user_sessions(new_id), session.sid))
    assert supervisor.failing == ([] if isinstance(error, Exception) else ["mirror"])


@pytest.mark.parametrize(
    "error",
    [Unavailable("away"), RuntimeError("a bug"), SystemExit(1), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
async def test_expired_sessions_end_and_revocations_are_noticed_after_a_look_that_failed(
    redis, parts, new_id, supervisor, monkeypatch, error
):
    monkeypatch.setattr(sign_out_module, "WATCH_S", 0.01)
    (session,) = await opened(parts, new_id)
    parts.records.failures.errors = [error]
    supervisor.start("watch", parts.sign_outs.watch)
    supervisor.start("mirror", parts.mirror.run_reconciles)
    await poll(lambda: parts.records.failures.calls >= 2)
    other = session_of(f"{new_id}-other")
    await parts.sessions.open(other)
    other.ends_at = 0
    await poll(lambda: parts.sessions.get(other.sid) is None)
    await parts.refused_tokens.revoke(new_id)
    await poll(lambda: parts.sessions.get(session.sid) is None)
    assert supervisor.failing == ([] if isinstance(error, Exception) else ["watch"])


async def test_a_session_whose_end_fails_keeps_no_other_from_ending(redis, parts, new_id, monkeypatch):
    monkeypatch.setattr(sign_out_module, "WATCH_S", 0.01)
    bad, good = await opened(parts, f"{new_id}-bad", f"{new_id}-good")
    parts.edge.fails = {bad.sid}
    bad.ends_at = good.ends_at = 0
    watching = asyncio.create_task(parts.sign_outs.watch())
    await poll(lambda: parts.edge.done.count("closed") == 2)
    watching.cancel()
    assert parts.sessions.all() == []
    await asyncio.gather(*parts.sign_outs._tasks, return_exceptions=True)
    await parts.ends.clean_up()
    assert await redis.exists(user_sessions(bad.user_id), user_sessions(good.user_id)) == 0


# Why a session was disconnected


@pytest.fixture
async def reasons(redis, parts) -> AsyncIterator[list[DisconnectReasons]]:
    """Those of two nodes, of which the first has the session."""
    made = [DisconnectReasons(redis, parts.sessions, Metrics(), lambda: 1_800_000_000.5) for _ in range(2)]
    yield made
    for one in made:
        await one.stop()


async def last_end(parts: SessionParts, reasons: DisconnectReasons, user_id: str, device_id: str) -> Any:
    """What a device is told that returns to the node of `reasons`."""
    session = Session(f"s-{secrets.token_hex(4)}", user_id, "Ann", device_id, "", issued_ms=1)
    await reasons.settle(user_id, device_id)
    await parts.sessions.open(session)
    return json.loads(session.last_end or "null")


@pytest.mark.parametrize("returns_to", [(0, 1, 0), (1, 0, 1)])
async def test_why_a_session_was_disconnected_is_told_once_on_whatever_node(parts, reasons, new_id, returns_to):
    (session,) = await opened(parts, new_id)
    reasons[0].on_disconnected(session.sid, DropReason.NOT_READING)
    if returns_to[0] == 1:  # on the same node it is known at once
        await asyncio.gather(*reasons[0]._writing.values())
    told = [await last_end(parts, reasons[node], new_id, "phone") for node in returns_to]
    reason = {"session_id": session.sid, "reason": "not_reading", "ts": "2027-01-15T08:00:00.500Z"}
    assert told == [reason, None, None]


async def test_the_latest_reason_counts_and_is_forgotten_after_a_while(redis, parts, reasons, new_id):
    (session,) = await opened(parts, new_id)
    for reason in (DropReason.NOT_READING, DropReason.TOO_FAR_BEHIND):
        reasons[0].on_disconnected(session.sid, reason)
    await asyncio.gather(*reasons[0]._writing.values())
    assert 0 < await redis.pttl(user_last_end(new_id, "phone")) <= LAST_END_MS
    assert await last_end(parts, reasons[0], new_id, "another-device") is None
    told = await last_end(parts, reasons[1], new_id, "phone")
    assert told is not None
    assert told["reason"] == "too_far_behind"

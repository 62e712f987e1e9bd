"""Whatever a handler, a handshake or a check raises is answered and logged, and ends nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest
import socketio
from multidict import CIMultiDict

from sio_server.conversation.log import Handed
from sio_server.gateway.fanout import fanout as fanout_module
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.requests.namespace import Gateway
from sio_server.gateway.sessions import readiness as readiness_module
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.authentication import Authentication
from sio_server.gateway.sessions.description import Description
from sio_server.gateway.sessions.handshake import Handshakes
from sio_server.gateway.sessions.limits import Limits, Rate
from sio_server.gateway.sessions.readiness import Readiness
from sio_server.gateway.sessions.refusals import ADVICE, PERIOD_S, HandshakeRefusals
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.sessions.session_ready import SessionReady
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable
from sio_server.protocol.events import ClientEvent
from sio_server.protocol.names import AgentNames
from sio_server.tasks import end_tasks
from tests.conftest import SECRET
from tests.waiting import within

SESSION = Session("s", "ann", "Ann", "phone", "Phone")
TOKENS = Tokens(SECRET, "roomgraph")
# What a part of the server may raise without anybody having planned it.
UNPLANNED: list[BaseException] = [
    RuntimeError("a bug"),
    SystemExit(1),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    BaseExceptionGroup("several", [SystemExit(1)]),
]
ABOUT = Description(writes=(Rate(20, 1), Rate(600, 60)), conversations=1000, features=["stage", "guests"])
each_unplanned = pytest.mark.parametrize("error", UNPLANNED, ids=lambda error: type(error).__name__)


class Sessions:
    """The sessions of a node: SESSION, and those that are opened; opening raises `error`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.opened: list[Session] = []
        self.closed: list[str] = []

    def get(self, sid: str) -> Session | None:
        return SESSION if sid == SESSION.sid else None

    def all(self) -> list[Session]:
        return [SESSION]

    async def open(self, session: Session) -> None:
        if self.error is not None:
            raise self.error
        self.opened.append(session)

    def close(self, sid: str) -> None:
        self.closed.append(sid)


def limits() -> Limits:
    return Limits(None)  # type: ignore[arg-type]


def gateway(sessions: Sessions, handler: Any = None, fanout: Any = None) -> Gateway:
    made: Any = handshakes(sessions)
    return Gateway(made, None, sessions, limits(), fanout, {ClientEvent.DEVICE_LIST: handler})  # type: ignore[arg-type]


async def settled(user_id: str, device_id: str) -> None: ...


def handshakes(sessions: Sessions) -> Handshakes:
    made: Any = sessions
    return Handshakes(
        Authentication(TOKENS, now=time.time),
        made,
        limits(),
        agents=AgentNames(["support_agent"]),
        trusted_proxies=0,
        admit=lambda: None,
        settle=settled,
        now=lambda: 1_800_000_000.9,
    )


ENVIRON = {"aiohttp.request": SimpleNamespace(headers=CIMultiDict(), remote="127.0.0.1")}
AUTH = {"token": TOKENS.issue("ann", "Ann", 3600), "device_id": "phone"}


@each_unplanned
async def test_whatever_a_handler_raises_is_answered_as_internal(error: BaseException) -> None:
    async def handler(session: Session, request: Any) -> dict[str, Any]:
        raise error

    answer = await gateway(Sessions(), handler).trigger_event("device:list", "s", {})
    assert answer["ok"] is False
    assert (answer["error"]["code"], answer["error"]["retryable"]) == ("internal", True)


async def test_a_request_whose_connection_ends_is_cancelled() -> None:
    begun = asyncio.Event()

    async def handler(session: Session, request: Any) -> dict[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        return {}

    handling = asyncio.create_task(gateway(Sessions(), handler).trigger_event("device:list", "s", {}))
    await begun.wait()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling


@each_unplanned
async def test_whatever_a_handshake_raises_is_refused_as_internal(error: BaseException) -> None:
    with pytest.raises(socketio.exceptions.ConnectionRefusedError) as refused:
        await gateway(Sessions(error)).on_connect("new", ENVIRON, AUTH)
    assert refused.value.error_args["data"]["code"] == "internal"


async def test_a_session_begins_at_the_time_of_redis() -> None:
    sessions = Sessions()
    await handshakes(sessions).open("new", ENVIRON, AUTH)
    assert [session.since for session in sessions.opened] == ["2027-01-15T08:00:00Z"]


async def test_a_session_is_closed_though_its_rooms_cannot_be_left() -> None:
    class BrokenFanout:
        def leave_all(self, sid: str) -> None:
            raise KeyError(sid)

    sessions = Sessions()
    with pytest.raises(KeyError):
        await gateway(sessions, fanout=BrokenFanout()).on_disconnect("s", "transport close")
    assert sessions.closed == ["s"]


def test_a_session_leaves_its_other_conversations_though_one_cannot_be_left() -> None:
    class Rooms:
        def enter(self, sid: str, room: str) -> None: ...

        def leave(self, sid: str, room: str) -> None:
            if room == "conversation:broken":
                raise KeyError(room)

        def hold(self, channel: str) -> None: ...

        def release(self, channel: str) -> None: ...

    rooms: Any = Rooms()
    fanout = Fanout(rooms, None, None, None)  # type: ignore[arg-type]
    for conversation_id in ("one", "broken", "two"):
        assert fanout.enter("s", "ann", "phone", conversation_id, Handed("e", 1, "t"), 1)
    fanout.leave_all("s")
    assert not fanout.follows("s", "one")
    assert not fanout.follows("s", "two")


async def test_a_room_that_starts_over_is_left_at_once_and_told_so_in_groups(monkeypatch) -> None:
    monkeypatch.setattr(fanout_module, "RESETS_AT_ONCE", 2)
    monkeypatch.setattr(fanout_module, "RESETS_EVERY_S", 0.0)
    told: list[str] = []
    all_told = asyncio.Event()

    def deliver(sid: str, event: str, payload: Any) -> int:
        assert (event, payload) == ("conversation:reset", {"conversation_id": "c"})
        told.append(sid)
        if sid == "s6":
            all_told.set()
        return 1

    def nothing(*_: Any) -> None: ...

    rooms: Any = SimpleNamespace(deliver=deliver, enter=nothing, leave=nothing, hold=nothing, release=nothing)
    fanout = Fanout(rooms, None, None, None)  # type: ignore[arg-type]
    sids = [f"s{number}" for number in range(7)]
    for sid in sids:
        assert fanout.enter(sid, "ann", "phone", "c", Handed("e", 1, "t"), 1)
    fanout.start_over("c", dict(fanout.all_followed())["c"])
    assert told == sids[:2]
    assert fanout.all_followed() == []
    assert fanout.enter("s3", "ann", "phone", "c", Handed("f", 1, "t"), 1)
    async with within(10, "the others"):
        await all_told.wait()
    assert told == [sid for sid in sids if sid != "s3"], "that one has synced meanwhile"
    await fanout.close()


class Devices:
    """The devices of all users; reading them raises `error`."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    async def listed_json(self, user_id: str) -> str:
        if self.error is not None:
            raise self.error
        return '["read"]'


def session_ready(sent: list[Any], devices: Any, graphs: list[str]) -> SessionReady:
    rooms: Any = SimpleNamespace(
        enter=lambda sid, room: None,
        deliver_frame=lambda sid, frame: sent.append(json.loads(frame.removeprefix(b"42"))),
    )
    sessions: Any = Sessions()
    return SessionReady(
        rooms, sessions, devices, node_name="n", node_urls=["http://a", "http://b"], graphs=graphs, about=ABOUT
    )


@pytest.mark.parametrize("error", [None, Unavailable("away"), *UNPLANNED], ids=lambda error: type(error).__name__)
async def test_a_new_session_is_ready_whatever_cannot_be_read(error: BaseException | None) -> None:
    sent: list[Any] = []
    SESSION.devices, SESSION.opened = None, False
    await session_ready(sent, Devices(error), ["echo"]).send("s")
    ((event, payload),) = sent
    assert event == "session:opened"
    assert payload["devices"] == ([] if error else ["read"])
    assert payload["last_end"] is None


async def test_a_new_session_is_told_what_redis_said_when_it_was_written_without_asking_again() -> None:
    sent: list[Any] = []
    graphs = ["echo"]
    ready = session_ready(sent, Devices(RuntimeError("nothing is read")), graphs)
    for number in range(2):
        SESSION.devices, SESSION.last_end, SESSION.opened = f"[{number}]", '{"reason":"flooding"}', False
        await ready.send("s")
        graphs.append("writer")  # a graph is served from now on
    (_, first), (_, second) = sent
    assert first == {
        "v": 2,
        "session_id": "s",
        "user_id": "ann",
        "name": "Ann",
        "device_id": "phone",
        "node": "n",
        "nodes": first["nodes"],
        "graphs": ["echo"],
        **ABOUT.to_wire(),
        "devices": [0],
        "last_end": {"reason": "flooding"},
    }
    assert sorted(first["nodes"]) == ["http://a", "http://b"]
    assert (second["graphs"], second["devices"]) == (["echo", "writer"], [1])


def test_clients_are_told_the_limits_that_matter_to_them() -> None:
    about = ABOUT.to_wire()
    limits = about["limits"]
    assert (limits["frame_bytes"], limits["text_bytes"], limits["page_entries"]) == (131_072, 16_384, 200)
    assert (limits["sync_conversations"], limits["marked_conversations"]) == (100, 100)
    assert limits["rates"]["writes"] == [{"count": 20, "seconds": 1}, {"count": 600, "seconds": 60}]
    assert limits["rates"]["events"] == [], "no limit"
    assert limits["followed_conversations"] == 1000
    assert Description().to_wire()["limits"]["followed_conversations"] is None
    assert about["features"] == ["guests", "stage"]
    assert about["server"]["name"] == "roomgraph"


# Readiness


def readiness(**options: Any) -> Readiness:
    made: Any = {
        "redis_heard_at": lambda: float("-inf"),
        "bus_heard_at": lambda: float("-inf"),
        "deliver": lambda sid, event, payload: 1,
        "close": lambda sid: asyncio.sleep(0),
        **options,
    }
    return Readiness("n", Sessions(), **made)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["another_is_well", "deliver", "close"])
async def test_a_node_that_is_cut_off_sends_its_sessions_away_after_a_check_that_failed(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHECK_S", "NOTICE_S", "ASK_EVERY_S", "DEAF_AFTER_S"):
        monkeypatch.setattr(readiness_module, name, 0.001)
    closed = asyncio.Event()
    failed: list[str] = []

    def fail_once(name: str) -> None:
        if name == part and not failed:
            failed.append(name)
            raise RuntimeError("a bug")

    async def another_is_well() -> bool:
        fail_once("another_is_well")
        return True

    def deliver(sid: str, event: str, payload: Any) -> int:
        fail_once("deliver")
        return 1

    async def close(sid: str) -> None:
        fail_once("close")
        closed.set()

    watching = asyncio.create_task(
        readiness(another_is_well=another_is_well, deliver=deliver, close=close).watch()
    )
    try:
        await asyncio.wait_for(closed.wait(), 5)
    finally:
        await end_tasks([watching])
    assert failed == [part]


async def test_a_session_that_cannot_be_told_to_leave_keeps_no_other_from_leaving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CHECK_S", "NOTICE_S", "DEAF_AFTER_S"):
        monkeypatch.setattr(readiness_module, name, 0.001)
    bad, good = Session("bad", "ann", "Ann", "a", ""), Session("good", "ann", "Ann", "b", "")
    closed: set[str] = set()
    all_closed = asyncio.Event()

    async def another_is_well() -> bool:
        return True

    def deliver(sid: str, event: str, payload: Any) -> int:
        if sid == bad.sid:
            raise RuntimeError("nothing can be put into its queue")
        return 1

    async def close(sid: str) -> None:
        closed.add(sid)
        if closed == {bad.sid, good.sid}:
            all_closed.set()

    node = readiness(another_is_well=another_is_well, deliver=deliver, close=close)
    monkeypatch.setattr(Sessions, "all", lambda self: [bad, good])
    watching = asyncio.create_task(node.watch())
    try:
        await asyncio.wait_for(all_closed.wait(), 5)
    finally:
        await end_tasks([watching])


async def test_a_node_that_has_just_been_started_is_not_ready_but_not_cut_off_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness_module, "CHECK_S", 0.001)
    checks, checked, asked = 0, asyncio.Event(), False

    def redis_heard_at() -> float:
        nonlocal checks
        checks += 1
        if checks == 10 * readiness_module.SURE_AFTER:
            checked.set()
        return float("-inf")

    async def another_is_well() -> bool:
        nonlocal asked
        asked = True
        return True

    node = readiness(redis_heard_at=redis_heard_at, another_is_well=another_is_well)
    watching = asyncio.create_task(node.watch())
    try:
        await asyncio.wait_for(checked.wait(), 5)
    finally:
        await end_tasks([watching])
    assert (node.report()["ready"], node.cut_off, asked) == (False, False, False)


async def test_a_node_with_a_failing_background_task_is_not_ready() -> None:
    failing: list[str] = []
    node = readiness(
        redis_heard_at=time.monotonic,
        bus_heard_at=time.monotonic,
        another_is_well=None,
        failing_tasks=lambda: failing,
    )
    assert node.report()["ready"]
    failing.append("leases")
    report = node.report()
    assert (report["ready"], report["failing_tasks"]) == (False, ["leases"])


# Refused handshakes in the log


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_refused_handshake_is_logged_once_per_reason_and_minute_with_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusals = HandshakeRefusals()
    expired, invalid = (Refused(code, "no") for code in (ErrorCode.TOKEN_EXPIRED, ErrorCode.TOKEN_INVALID))
    for second in range(30):
        for error in (expired, expired, invalid):
            refusals.add(error, 1000.0 + second)
    assert [line.split(";")[0] for line in lines(caplog)] == [
        "handshakes are refused: code=token_expired count=1 message='no'",
        "handshakes are refused: code=token_invalid count=1 message='no'",
    ]
    refusals.add(expired, 1000.0 + PERIOD_S)
    assert "code=token_expired count=60" in lines(caplog)[-1]


@pytest.mark.parametrize(
    ("auth", "code", "change"),
    [
        (None, "token_missing", "put a token"),
        ({"token": "x.y.z"}, "token_invalid", "AUTH_SECRET"),
        ({"token": TOKENS.issue("ann", "Ann", -5)}, "token_expired", "TOKEN_TTL"),
        ({"token": "x", "colour": 1}, "invalid_payload", "docs/protocol.md"),
    ],
)
async def test_many_refused_clients_make_one_line_that_says_what_to_change(
    caplog: pytest.LogCaptureFixture, auth: Any, code: str, change: str
) -> None:
    caplog.set_level(logging.DEBUG)
    checked = handshakes(Sessions())
    for _ in range(50):
        with pytest.raises(RoomgraphError):
            await checked.open("new", ENVIRON, auth)
    (line,) = lines(caplog)
    assert f"code={code}" in line
    assert change in line


async def test_a_fault_of_the_server_in_a_handshake_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checked = handshakes(Sessions(RuntimeError("a bug")))
    for _ in range(50):
        with pytest.raises(Unavailable):
            await checked.open("new", ENVIRON, AUTH)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "RuntimeError" in (record.exc_text or str(record.exc_info))


def test_there_is_advice_for_every_code_with_which_a_handshake_is_refused() -> None:
    kinds = {"token", "invalid", "rate", "too", "unavailable", "internal"}
    refusing = {code for code in ErrorCode if code.value.partition("_")[0] in kinds}
    assert refusing - {ErrorCode.TOO_MANY_CONVERSATIONS} == set(ADVICE)

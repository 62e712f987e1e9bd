"""A connection of the direct transport: what waits for its client is bounded, and its packets keep their order."""

from __future__ import annotations

import asyncio
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from sio_server.gateway.transport.client_connection import FAULT_NOTICE_S
from sio_server.gateway.transport.close_codes import CloseCode
from sio_server.gateway.transport.direct import connection as connection_module
from sio_server.gateway.transport.direct.client_frames import close_frame, text_frame
from sio_server.gateway.transport.direct.connection import INBOX_FRAMES, Connection
from sio_server.gateway.transport.direct.held import HELD_BYTES, HELD_S, Held
from sio_server.gateway.transport.direct.opening import Opening
from sio_server.gateway.transport.direct.outbound import HIGH_WATER_BYTES
from sio_server.gateway.transport.direct.wheel import Wheel
from sio_server.gateway.transport.drop_reasons import DropReason
from sio_server.gateway.transport.engine import PING_TIMEOUT_S
from sio_server.gateway.transport.inbound import Fault, InboundLimits
from sio_server.gateway.transport.outbound_limits import MAX_ANSWER_BYTES, MAX_EVENT_BYTES, STALL_S
from tests.faults.raw_websocket import PING, frame

EVENT = text_frame(b"x" * 9_997)  # 10,001 bytes
PING_OF_THE_ENGINE = text_frame(b"2")


class Transport:
    """Takes what is written while it is `open`, and holds the rest as asyncio's do."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.held: list[bytes] = []
        self.open = True
        self.reading = True
        self.closed = self.aborted = False
        self.connection: Any = None

    def write(self, data: bytes) -> None:
        if self.open:
            self.taken.append(data)
        else:
            was_full = self.get_write_buffer_size() > HIGH_WATER_BYTES
            self.held.append(data)
            if not was_full and self.get_write_buffer_size() > HIGH_WATER_BYTES:
                self.connection.pause_writing()

    def drain(self) -> None:
        """The client reads again."""
        self.open = True
        self.taken += self.held
        self.held = []
        self.connection.resume_writing()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.held))

    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return SimpleNamespace(setsockopt=lambda *option: None)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class Server:
    """What a connection asks of its server; `answer` is what an event waits for."""

    def __init__(self) -> None:
        self.eio = SimpleNamespace(limits=SimpleNamespace(inbound=InboundLimits(), keep_headers=False))
        self.watchdog = Wheel(lambda eio_sid: None)
        self.held = Held()
        self.namespace = self
        self.drops: list[DropReason] = []
        self.faults: list[int] = []
        self.handled: list[Any] = []
        self.answer: asyncio.Future[Any] | None = None
        self.lost = 0

    async def trigger_event(self, event: str, sid: str, *payload: Any) -> Any:
        self.handled.append(payload[0])
        return await self.answer if self.answer is not None else payload[0]

    async def on_message(self, eio_sid: str, text: str) -> None:
        self.handled.append(text)

    async def on_session_lost(self, connection: Connection) -> None:
        self.lost += 1
        connection.sid = None

    def on_opened(self, connection: Connection) -> bytes:
        return b""

    def on_closed(self, connection: Connection) -> None: ...

    def on_fault(self, connection: Connection, fault: Any) -> None:
        self.faults.append(fault.code)

    def drop(self, connection: Connection, reason: DropReason) -> None:
        self.drops.append(reason)
        connection.abort()


Parts = tuple[Connection, Any, Server]


@pytest.fixture
def parts() -> Parts:
    """A connection with a session."""
    server, transport = Server(), Transport()
    made: Any = Connection(server, transport, Opening(CIMultiDict(), "key", b"", None))  # type: ignore[arg-type]
    transport.connection = made
    assert made.admit()
    made.sid = "s"
    transport.taken.clear()
    return made, transport, server


def event(number: int) -> bytes:
    return frame(b'42%d["e",%d]' % (number, number))


async def settled() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


def test_an_event_goes_straight_to_the_transport(parts: Parts) -> None:
    connection, transport, _ = parts
    connection.put_event(EVENT)
    assert transport.taken == [EVENT]


def test_events_that_wait_are_bounded_and_one_too_many_ends_the_connection(parts: Parts) -> None:
    connection, transport, server = parts
    transport.open = False
    for _ in range(2 + MAX_EVENT_BYTES // len(EVENT)):  # the transport holds the first two
        connection.put_event(EVENT)
    assert not server.drops
    connection.put_event(EVENT)
    assert server.drops == [DropReason.TOO_FAR_BEHIND]
    assert transport.aborted
    connection.put_event(EVENT)
    assert len(server.drops) == 1, "it is reported once"


def test_what_waited_is_sent_in_its_order_when_the_client_reads_again(parts: Parts) -> None:
    connection, transport, _ = parts
    frames = [text_frame(b"%06d" % number * 1000) for number in range(20)]
    transport.open = False
    for one in frames[:10]:
        connection.put_event(one)
    transport.drain()
    for one in frames[10:]:
        connection.put_event(one)
    assert transport.taken == frames


def test_a_client_that_reads_nothing_is_ended_and_one_that_reads_slowly_is_not(parts: Parts) -> None:
    connection, transport, server = parts
    transport.open = False
    for _ in range(40):
        connection.put_event(EVENT)
    for second in range(3):
        connection.check_progress(100.0 + second * STALL_S * 0.9)
        transport.held[0] = transport.held[0][4000:]
    assert not server.drops
    connection.check_progress(200.0)
    connection.check_progress(200.0 + STALL_S)
    assert server.drops == [DropReason.NOT_READING]


async def test_requests_are_not_handled_while_their_answers_are_not_read(parts: Parts) -> None:
    connection, transport, server = parts
    transport.open = False
    big = "x" * (MAX_ANSWER_BYTES // 2)
    for number in range(6):
        connection.data_received(frame(b'42%d["e","%b"]' % (number, b"y" * 10)))
    server.answer = asyncio.get_running_loop().create_future()
    server.answer.set_result(big)
    await settled()
    assert len(server.handled) == 3, "one is with the transport, two wait here"
    transport.drain()
    await settled()
    assert len(server.handled) == 6


async def test_the_events_of_a_client_are_handled_one_after_the_other(parts: Parts) -> None:
    connection, transport, server = parts
    server.answer = asyncio.get_running_loop().create_future()
    connection.data_received(event(1))
    connection.data_received(event(2) + event(3))
    await settled()
    assert server.handled == [1]
    server.answer.set_result("done")
    await settled()
    assert server.handled == [1, 2, 3]
    assert transport.taken == [text_frame(b'43%d["done"]' % number) for number in (1, 2, 3)]


async def test_events_are_written_with_the_answer_that_is_awaited_and_before_it(parts: Parts) -> None:
    connection, transport, server = parts
    server.answer = asyncio.get_running_loop().create_future()
    connection.data_received(event(1))
    await settled()
    connection.put_event(text_frame(b"one"))
    connection.put_event(text_frame(b"two"))
    assert transport.taken == []
    server.answer.set_result("done")
    await settled()
    assert transport.taken == [text_frame(b"one") + text_frame(b"two") + text_frame(b'431["done"]')]
    connection.put_event(text_frame(b"three"))
    assert transport.taken[1:] == [text_frame(b"three")]


async def test_events_wait_for_no_answer_that_does_not_come_soon_nor_in_any_number(parts: Parts) -> None:
    connection, transport, server = parts
    server.answer = asyncio.get_running_loop().create_future()
    connection.data_received(event(1))
    connection.put_event(text_frame(b"one"))
    assert transport.taken == []
    await asyncio.sleep(HELD_S)
    await settled()
    assert transport.taken == [text_frame(b"one")]
    for _ in range(3):
        connection.put_event(b"x" * (HELD_BYTES // 2))
    assert list(map(len, transport.taken[1:])) == [HELD_BYTES // 2 * 3]
    connection.put_event(text_frame(b"last"))
    connection.fail(Fault(CloseCode.PROTOCOL_ERROR, "wrong"))
    assert transport.taken[2:] == [text_frame(b"last"), close_frame(CloseCode.PROTOCOL_ERROR, "wrong")]


async def test_what_waits_for_an_answer_waits_behind_nothing_when_the_client_stops_reading(parts: Parts) -> None:
    connection, transport, server = parts
    server.answer = asyncio.get_running_loop().create_future()
    connection.data_received(event(1))
    await settled()
    connection.put_event(text_frame(b"one"))
    transport.open = False
    connection.put_event(b"x" * (HELD_BYTES + 1))  # with this the transport has enough
    connection.put_event(text_frame(b"two"))
    server.answer.set_result("done")
    await settled()
    transport.drain()
    sent = b"".join(transport.taken)
    assert sent == text_frame(b"one") + b"x" * (HELD_BYTES + 1) + text_frame(b"two") + text_frame(b'431["done"]')


async def test_a_client_is_not_read_from_while_many_of_its_events_wait(parts: Parts) -> None:
    connection, transport, server = parts
    server.answer = asyncio.get_running_loop().create_future()
    count = 3 * INBOX_FRAMES
    for start in range(0, count, 8):
        connection.data_received(b"".join(event(number) for number in range(start, start + 8)))
    await settled()
    assert not transport.reading
    assert server.handled == [0]
    server.answer.set_result("done")
    await settled()
    assert server.handled == list(range(count))
    assert transport.reading


async def test_a_ping_of_the_websocket_is_answered_while_an_event_is_handled(parts: Parts) -> None:
    connection, transport, server = parts
    server.answer = asyncio.get_running_loop().create_future()
    connection.data_received(event(1))
    connection.data_received(frame(b"?", PING))
    await settled()
    assert transport.taken == [b"\x8a\x01?"]


def test_a_client_that_answers_pings_stays_and_one_that_does_not_is_closed(parts: Parts) -> None:
    async def check() -> None:
        connection, transport, server = parts
        for turn in range(3):
            connection.on_turn(100.0 + turn * PING_TIMEOUT_S)
            connection.data_received(frame(b"3"))
        assert transport.taken == [PING_OF_THE_ENGINE] * 3
        connection.on_turn(200.0)
        connection.on_turn(200.0 + PING_TIMEOUT_S)
        assert server.faults == [1000]
        assert not server.drops

    asyncio.run(check())


def test_a_client_with_something_unread_that_answers_no_ping_is_not_reading(parts: Parts) -> None:
    connection, transport, server = parts
    transport.open = False
    connection.on_turn(100.0)
    connection.on_turn(100.0 + PING_TIMEOUT_S)
    assert server.drops == [DropReason.NOT_READING]


async def test_a_mistake_is_told_in_the_close_frame_and_the_connection_is_reset_after_it(parts: Parts) -> None:
    connection, transport, server = parts
    connection.data_received(frame(b"x", masked=False))
    assert transport.taken == [close_frame(1002, "a client must mask its frames")]
    assert (transport.reading, transport.aborted) == (False, False)
    connection.data_received(event(1))
    connection.put_event(EVENT)
    await asyncio.sleep(FAULT_NOTICE_S + 0.05)
    assert transport.aborted
    assert not server.handled
    assert len(transport.taken) == 1


async def test_a_session_ends_after_the_event_that_is_being_handled(parts: Parts) -> None:
    connection, _, server = parts
    server.answer = asyncio.get_running_loop().create_future()
    connection.data_received(event(1) + event(2))
    await settled()
    connection.connection_lost(None)
    await settled()
    assert server.lost == 0
    server.answer.set_result("done")
    await settled()
    assert (server.handled, server.lost) == ([1], 1)


async def test_a_goodbye_waits_for_the_clients_close_frame(parts: Parts) -> None:
    connection, transport, server = parts
    goodbye = asyncio.create_task(connection.goodbye(1001, "go"))  # type: ignore[arg-type]
    await settled()
    assert transport.taken == [text_frame(b"1") + close_frame(1001, "go")]
    assert server.lost == 1
    connection.data_received(frame(b"\x03\xe9", 8))
    assert transport.closed
    connection.connection_lost(None)
    await asyncio.wait_for(goodbye, 1)


@pytest.mark.parametrize("text", [b"", b"9", b"4", b"44{}", b"hello"])
async def test_a_text_that_is_no_packet_is_a_protocol_error(parts: Parts, text: bytes) -> None:
    connection, _, server = parts
    connection.data_received(frame(text))
    await settled()
    assert server.faults == [1002]


@pytest.mark.parametrize(
    "text",
    [b'42["connect",{}]', b"42[7]", b'42/,["e"]', b'42["e",' + b"[" * 17 + b"]" * 17 + b"]", b"42{}", b"42["],
)
async def test_what_is_no_ordinary_event_goes_the_librarys_way(parts: Parts, text: bytes) -> None:
    connection, _, server = parts
    connection.data_received(frame(text))
    await settled()
    assert server.handled == [text[1:].decode()]


@pytest.mark.parametrize("goodbye", [frame(b"\x03\xe8", 8), frame(b"1")])
@pytest.mark.parametrize("unread", [0, HIGH_WATER_BYTES])
async def test_a_client_that_closes_and_reads_nothing_is_ended(
    monkeypatch: pytest.MonkeyPatch, goodbye: bytes, unread: int
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT_S", 0.05)
    server = Server()
    opened, ended = asyncio.Event(), asyncio.Event()
    server.on_closed = lambda connection: ended.set()  # type: ignore[method-assign]
    made: list[Connection] = []

    class Opened(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            connection = Connection(server, transport, Opening(CIMultiDict(), "key", b"", None))  # type: ignore[arg-type]
            transport.set_protocol(connection)
            connection.admit()
            connection.sid = "s"
            made.append(connection)
            opened.set()

    listening = await asyncio.get_running_loop().create_server(Opened, "127.0.0.1", 0)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listening.sockets[0].getsockname())
        await asyncio.wait_for(opened.wait(), 1)
        while made[0]._transport.get_write_buffer_size() <= unread:
            made[0].put_event(EVENT)
        client.sendall(goodbye)
        await asyncio.wait_for(ended.wait(), 1)
        await settled()
    listening.close()
    assert server.lost == 1


async def test_a_goodbye_in_the_middle_of_a_clients_frame_reads_its_close_frame_after_it(parts: Parts) -> None:
    connection, transport, _ = parts
    whole = frame(b'42["e","' + b"y" * 3000 + b'"]')
    connection.data_received(whole[:1500])
    goodbye = asyncio.create_task(connection.goodbye(1001, "go"))  # type: ignore[arg-type]
    await settled()
    connection.data_received(whole[1500:])
    assert not transport.aborted
    connection.data_received(frame(b"\x03\xe9", 8))
    assert (transport.closed, transport.aborted) == (True, False)
    connection.connection_lost(None)
    await asyncio.wait_for(goodbye, 1)


async def test_a_goodbye_finds_the_close_frame_that_waited_behind_events(parts: Parts) -> None:
    connection, transport, server = parts
    server.answer = asyncio.get_running_loop().create_future()
    connection.data_received(b"".join(map(event, range(2 * INBOX_FRAMES))) + frame(b"\x03\xe8", 8))
    await settled()
    assert not transport.reading
    goodbye = asyncio.create_task(connection.goodbye(1001, "go"))  # type: ignore[arg-type]
    await settled()
    assert (transport.closed, transport.aborted) == (True, False)
    connection.connection_lost(None)
    await asyncio.wait_for(goodbye, 1)


async def test_a_goodbye_to_a_client_that_has_gone_waits_for_nothing(parts: Parts) -> None:
    connection, _, server = parts
    going = asyncio.get_running_loop().create_future()

    async def on_session_lost(connection: Connection) -> None:
        await going

    server.on_session_lost = on_session_lost  # type: ignore[method-assign]
    goodbye = asyncio.create_task(connection.goodbye(1001, "go"))  # type: ignore[arg-type]
    await settled()
    connection.sid = None
    connection.connection_lost(None)
    going.set_result(None)
    began = time.monotonic()
    await goodbye
    assert time.monotonic() - began < 0.5


async def test_the_time_for_a_pong_does_not_count_while_the_client_is_not_read_from(parts: Parts) -> None:
    connection, transport, server = parts
    server.answer = asyncio.get_running_loop().create_future()
    connection.on_turn(100.0)
    for number in range(2 * INBOX_FRAMES):
        connection.data_received(event(number))
        await asyncio.sleep(0)
    assert not transport.reading
    connection.on_turn(100.0 + PING_TIMEOUT_S)
    server.answer.set_result("done")
    await settled()
    assert transport.reading
    connection.on_turn(100.0 + 2 * PING_TIMEOUT_S)
    assert not server.faults, "the pong may be on its way still"
    connection.on_turn(100.0 + 3 * PING_TIMEOUT_S)
    assert server.faults == [1000]


async def test_a_connection_that_cannot_be_checked_is_ended_and_all_others_are_still_pinged() -> None:
    wheel = Wheel(lambda eio_sid: None)
    turned = asyncio.Event()

    class Checked:
        eio_sid = ""
        bucket = 0
        aborted = False

        def __init__(self, turn: Any) -> None:
            self.turn = turn

        def on_turn(self, now: float) -> None:
            self.turn()

        def check_progress(self, now: float) -> None:
            raise RuntimeError("closed")

        def abort(self) -> None:
            self.aborted = True
            raise RuntimeError("closed")

    def fail() -> None:
        raise RuntimeError("closed")

    failing, blocked, healthy = Checked(fail), Checked(fail), Checked(turned.set)
    wheel.blocked.add(blocked)
    for one in (failing, healthy):
        wheel._next += 1
        wheel.add(one)
    wheel._next = 0
    running = asyncio.create_task(wheel.run())
    try:
        await asyncio.wait_for(turned.wait(), 2)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert failing.aborted
    assert blocked.aborted
    assert not wheel.blocked

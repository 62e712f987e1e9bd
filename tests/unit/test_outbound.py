"""The queue of one client: bounded, counted until the transport has accepted it, and checked for progress."""

from __future__ import annotations

import asyncio

from engineio.packet import MESSAGE, Packet

from sio_server.gateway.transport.outbound_limits import MAX_ANSWERS, MAX_EVENT_BYTES, STALL_S
from sio_server.gateway.transport.stock.outbound import Outbound, event_frame

FRAME = event_frame("x" * 9_999)  # with the engine's type 10,000 bytes


def full() -> tuple[Outbound, list[int]]:
    ended: list[int] = []

    def on_full(queue: Outbound) -> None:
        ended.append(queue.waiting)
        queue.end()

    queue = Outbound(on_full)
    while queue.put_event(FRAME):
        pass
    return queue, ended


def test_events_are_bounded_in_bytes_and_one_too_many_ends_the_queue():
    queue, ended = full()
    assert ended == [MAX_EVENT_BYTES // 10_000 * 10_000]
    assert queue.waiting == 0
    assert queue.put_event(FRAME) is False
    queue.put_nowait(Packet(MESSAGE, "answer"))
    assert queue.waiting == 0
    assert len(ended) == 1, "it is reported once"


def test_a_single_event_is_accepted_however_large_it_is():
    queue = Outbound()
    assert queue.put_event(event_frame("x" * 2 * MAX_EVENT_BYTES)) is True


def test_a_packet_that_has_left_the_queue_counts_until_it_is_sent():
    queue = Outbound()
    queue.put_event(FRAME)
    taken = queue.get_nowait()
    assert taken is not None
    assert taken is FRAME
    assert queue.waiting == 10_000
    queue.sent(taken.encode())
    assert queue.waiting == 0


def test_many_answers_do_not_end_the_queue_but_keep_further_requests_from_being_read():
    queue = Outbound()
    queue.put_nowait(Packet(MESSAGE, "x" * 2 * MAX_EVENT_BYTES))
    assert queue.unread
    assert queue.put_event(FRAME) is True
    answer = queue.get_nowait()
    assert answer is not None
    queue.sent(answer.encode())
    assert not queue.unread
    for _ in range(MAX_ANSWERS + 1):
        queue.put_nowait(Packet(MESSAGE, ""))
    assert queue.unread


async def test_join_waits_for_the_last_byte():
    queue = Outbound()
    queue.put_event(FRAME)
    queue.put_nowait(Packet(MESSAGE, "answer"))
    joined = asyncio.create_task(queue.join())
    for _ in range(2):
        await asyncio.sleep(0)
        assert not joined.done()
        queue.sent((await queue.get()).encode())  # type: ignore[union-attr]
    await asyncio.wait_for(joined, 1)


async def test_the_end_of_a_queue_wakes_all_that_wait_for_it():
    queue = Outbound()
    queue.put_event(FRAME)
    waiting = [asyncio.create_task(queue.join()), asyncio.create_task(queue.change())]
    await asyncio.sleep(0)
    queue.end()
    await asyncio.wait_for(asyncio.gather(*waiting), 1)


def test_an_empty_queue_is_never_stalled():
    queue = Outbound()
    assert not queue.stalled(0, 0.0)
    assert not queue.stalled(0, 1000.0)


def test_a_queue_without_progress_is_stalled_after_a_while():
    queue = Outbound()
    queue.put_event(FRAME)
    assert not queue.stalled(0, 10.0)
    queue.put_event(FRAME)  # more that waits is no progress
    assert not queue.stalled(0, 10.0 + STALL_S - 0.1)
    assert queue.stalled(0, 10.0 + STALL_S)


def test_bytes_that_the_transport_still_holds_count_as_well():
    queue = Outbound()
    queue.put_event(FRAME)
    queue.sent(FRAME.encode())
    assert not queue.stalled(10_004, 10.0)
    assert queue.stalled(9_990, 10.0 + STALL_S), "fourteen bytes in three seconds are next to nothing"


def test_a_slow_reader_is_not_stalled():
    queue = Outbound()
    for _ in range(50):
        queue.put_event(FRAME)
    for second in range(49):
        assert not queue.stalled(0, float(second))
        queue.sent(FRAME.encode())


def test_a_small_event_that_is_sent_whole_is_progress_enough():
    queue = Outbound()
    small = event_frame("hello")
    for second in range(20):
        queue.put_event(small)
        assert not queue.stalled(0, float(second))
        queue.sent(small.encode())
        queue.stalled(0, second + 0.5)

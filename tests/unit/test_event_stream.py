"""What waits for the client of an event stream: each event once, in order, and not without bounds."""

from __future__ import annotations

import pytest

from sio_server.gateway.api.event_stream import BEAT, MAX_WAITING_BYTES, EventStream, to_event
from sio_server.gateway.api.service_keys import Service


def entry(n: int, text: str = "") -> bytes:
    envelope = f'"v":2,"conversation_id":"c","epoch":"e1","seq":{n},"type":"message","data":{{"text":"{text}"}}'
    return f'42["entry:appended",{{"n":{n},{envelope}}}]'.encode()


def written(n: int) -> bytes:
    return f'42["run:written",{{"conversation_id":"c","n":{n},"run_id":"r","reports":[{{"seq":1}}]}}]'.encode()


def stream() -> EventStream:
    return EventStream(Service("shop"))


async def test_what_came_during_the_catch_up_is_told_once() -> None:
    events = stream()
    for n in (4, 5, 6):
        events.on_packet(entry(n))
    events.on_caught_up(5)
    events.on_packet(written(7))
    events.end()
    told = (await events.next()).decode()
    assert [line for line in told.splitlines() if line.startswith("id:")] == ["id: e1:6"]
    assert told.count('"n":') == 2
    assert told.index('"n":6') < told.index('"n":7')
    assert await events.next() == b""


async def test_marks_and_typing_are_not_told() -> None:
    events = stream()
    events.on_caught_up(0)
    events.on_packet(b'42["typing:changed",{"conversation_id":"c","typing":true}]')
    events.on_packet(entry(1))
    assert (await events.next()).startswith(b"event: entry:appended\nid: e1:1\ndata: {")


async def test_a_stream_ends_when_the_conversation_starts_over_and_tells_what_came_before() -> None:
    events = stream()
    events.on_caught_up(0)
    events.on_packet(entry(1))
    events.on_packet(b'42["conversation:reset",{"conversation_id":"c"}]')
    events.on_packet(entry(2))
    assert b'"n":1,' in await events.next()
    assert await events.next() == b""


@pytest.mark.parametrize("caught_up", [True, False])
async def test_a_client_that_does_not_read_costs_a_bounded_amount(caught_up: bool) -> None:
    events = stream()
    if caught_up:
        events.on_caught_up(0)
    size = MAX_WAITING_BYTES // 10
    for n in range(1, 10):
        events.on_packet(entry(n, "x" * size))
    assert not events.too_far_behind
    for n in range(10, 100):
        events.on_packet(entry(n, "x" * size))
    assert events.too_far_behind
    assert await events.next() == b""


async def test_silence_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sio_server.gateway.api.event_stream.BEAT_S", 0.001)
    assert await stream().next() == BEAT


def test_the_position_of_a_synced_conversation_is_that_of_its_page() -> None:
    data = b'{"conversation_id":"c","n":9,"position":{"epoch":"e1","seq":7},"after":3,"entries":[]}'
    assert to_event(b"conversation:synced", data).split(b"\n")[1] == b"id: e1:7"

"""A light device is a judge: every kind of wrong delivery is counted as what it is, and right ones are not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from roomgraph.load import Entries, Figures, LightDevice
from roomgraph.load.device import Place

EPOCH = "e1"
OWN = "light-x-1"


def frame(
    seq: int,
    *,
    n: int | None = None,
    epoch: str = EPOCH,
    text: str = "hi",
    device: str = "light-x-2",
    number: int = 0,
) -> bytes:
    """A live entry, whose number is its seq unless given."""
    data = {"device_id": device, "request_id": f"{device}.{number or seq}.1000000", "text": text}
    event = {**envelope(seq, epoch=epoch, data=data), "n": seq if n is None else n}
    return b'42["entry:appended",' + json.dumps(event).encode() + b"]"


def written(n: int) -> bytes:
    """A live event that makes no entry."""
    event = {"conversation_id": "c", "n": n, "run_id": "r", "version": 1, "part": 0, "text": "hm"}
    return b'42["run:written",' + json.dumps(event).encode() + b"]"


def synced(answer: dict[str, Any]) -> bytes:
    return b'42["conversation:synced",' + json.dumps({"conversation_id": "c", **answer}).encode() + b"]"


def envelope(seq: int, *, epoch: str = EPOCH, data: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "conversation_id": "c",
        "epoch": epoch,
        "seq": seq,
        "type": "message",
        "ts": "2026-11-23T07:12:00.844Z",
        "data": data or {"device_id": "light-x-2", "request_id": f"light-x-2.{seq}.1000000", "text": "hi"},
    }


def result(
    after: int, *seqs: int, n: int | None = None, more: bool = False, verdict: str = "resumed"
) -> dict[str, Any]:
    entries = [envelope(seq) for seq in seqs]
    last = seqs[-1] if seqs else after
    position = {"epoch": EPOCH, "seq": last}
    number = last if n is None else n
    return {
        "verdict": verdict,
        "position": position,
        "after": after,
        "entries": entries,
        "more": more,
        "n": number,
    }


@pytest.fixture
async def device(monkeypatch: pytest.MonkeyPatch) -> LightDevice:
    """A device that has entries 1 to 3 of the conversation `c`, and asks nobody for what is missing."""
    device = LightDevice(["http://127.0.0.1:1"], "token", OWN, Figures(), Entries())
    monkeypatch.setattr(device, "_spawn", lambda work: work.close())
    device.places["c"] = place = Place("c")
    device._begin(place, result(0, 1, 2, 3, verdict="snapshot"))
    return device


def wrong(device: LightDevice) -> dict[str, int]:
    names = ("duplicated", "reordered", "gaps", "differing", "misplaced", "resets")
    return {name: value for name in names if (value := getattr(device.figures, name))}


async def test_a_device_of_the_load_finds_no_fault_with_entries_in_order(device: LightDevice) -> None:
    for seq in (4, 5, 6):
        device._on_frame(frame(seq))
    assert device.places["c"].seq == 6
    assert device.places["c"].level
    assert wrong(device) == {}
    assert (device.figures.delivered, device.figures.caught_up) == (3, 3)


async def test_an_entry_that_was_in_the_page_may_come_live_as_well(device: LightDevice) -> None:
    device._on_frame(frame(3))
    assert wrong(device) == {}


async def test_an_entry_that_comes_live_twice_is_a_duplicate(device: LightDevice) -> None:
    device._on_frame(frame(4))
    device._on_frame(frame(4))
    assert wrong(device) == {"duplicated": 1}


async def test_an_event_that_comes_live_twice_is_a_duplicate_whatever_it_says(device: LightDevice) -> None:
    device._on_frame(written(4))
    device._on_frame(written(4))
    assert wrong(device) == {"duplicated": 1}


async def test_numbers_count_events_that_make_no_entry(device: LightDevice) -> None:
    device._on_frame(written(4))
    device._on_frame(frame(4, n=5))
    assert (device.places["c"].n, device.places["c"].seq) == (5, 4)
    assert device.places["c"].level
    assert wrong(device) == {}


async def test_a_missing_number_is_a_gap_and_the_device_syncs(device: LightDevice) -> None:
    device._on_frame(frame(5))
    place = device.places["c"]
    assert wrong(device) == {"gaps": 1}
    assert not place.level
    assert place.seq == 3
    assert not device._begin(place, result(3, 4, 5))
    assert (place.seq, place.n) == (5, 5)
    assert place.level


async def test_a_gap_that_is_an_event_without_an_entry_is_noticed(device: LightDevice) -> None:
    device._on_frame(frame(4, n=5))
    place = device.places["c"]
    assert wrong(device) == {"gaps": 1}
    assert not device._begin(place, result(3, n=4))
    assert (place.seq, place.n) == (4, 5)


async def test_an_entry_that_comes_after_a_later_one_is_out_of_order(device: LightDevice) -> None:
    device._on_frame(frame(5))
    device._on_frame(frame(4))
    assert wrong(device) == {"gaps": 1, "reordered": 1}
    device._begin(device.places["c"], result(3, 4))
    assert device.places["c"].seq == 5


async def test_entries_that_come_before_the_answer_to_a_sync_are_kept(device: LightDevice) -> None:
    place = device.places["c"]
    place.lost()
    device._on_frame(frame(5))
    device._on_frame(frame(6))
    assert not device._begin(place, result(3, 4, 5))
    assert place.seq == 6
    assert wrong(device) == {}


async def test_an_answer_with_more_or_older_than_what_was_heard_needs_another_sync(device: LightDevice) -> None:
    place = device.places["c"]
    place.lost()
    device._on_frame(frame(8))
    assert device._begin(place, result(3, 4, 5, more=True))
    assert device._begin(place, result(5, 6))
    assert not place.level
    assert not device._begin(place, result(6, 7, 8))
    assert place.level
    assert wrong(device) == {}


async def test_what_a_node_brings_by_itself_is_no_gap_and_no_duplicate(device: LightDevice) -> None:
    device._on_frame(synced(result(3, 4, 5)))
    device._on_frame(synced(result(3, 4, 5)))
    device._on_frame(frame(6))
    assert device.places["c"].seq == 6
    assert device.places["c"].level
    assert wrong(device) == {}


async def test_a_device_that_is_behind_what_its_node_has_delivered_syncs(device: LightDevice) -> None:
    device._on_frame(synced(result(4, 5)))
    assert not device.places["c"].level
    assert device.places["c"].seq == 3


async def test_another_entry_at_the_same_position_differs(device: LightDevice) -> None:
    device._on_frame(frame(4))
    other = LightDevice(["http://127.0.0.1:1"], "token", "light-x-9", Figures(), device._entries)
    other.places["c"] = Place("c", EPOCH, 3, 3, 3, syncing=False)
    other._on_frame(frame(4, text="something else"))
    assert wrong(other) == {"differing": 1}


async def test_an_own_message_at_another_position_than_its_ack_is_misplaced(device: LightDevice) -> None:
    device._unseen[f"{OWN}.1.1000000"] = 5
    device._on_frame(frame(4, device=OWN, number=1))
    assert wrong(device) == {"misplaced": 1}
    assert device.unseen == 0


async def test_an_own_message_that_was_acked_and_has_not_come_is_unseen(device: LightDevice) -> None:
    device._unseen[f"{OWN}.1.1000000"] = 4
    assert device.unseen == 1
    device._on_frame(frame(4, device=OWN, number=1))
    assert device.unseen == 0
    assert wrong(device) == {}


async def test_an_own_message_that_is_in_the_log_twice_is_a_duplicate(device: LightDevice) -> None:
    device._on_frame(frame(4, device=OWN, number=1))
    device._on_frame(frame(5, device=OWN, number=1))
    assert wrong(device) == {"duplicated": 1}


async def test_a_reset_is_counted_and_starts_the_conversation_over(device: LightDevice) -> None:
    place = device.places["c"]
    device._on_frame(frame(1, n=4, epoch="e2"))
    assert place.syncing
    device._begin(place, result(0, 1, verdict="reset"))
    assert wrong(device) == {"resets": 1}
    assert place.seq == 1

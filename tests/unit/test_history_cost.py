"""What judging, figures and recording cost grows with the history, and not with its square; sizes stay small."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

from roomgraph.check import Execution, Recorder, check
from roomgraph.check.history import Seen
from roomgraph.tour.figures import Spell, recovery

ROOM, E = "room", "e"
TIMES = 10
GROWTH = 1.6 * TIMES  # n log n; the square would be 100


class Counted(int):
    """A number that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int.__lt__(self, other)

    def __gt__(self, other: int) -> bool:
        Counted.compared += 1
        return int.__gt__(self, other)


def operations(call: Callable[[], Any]) -> int:
    """Lines of Python that are executed, and comparisons of `Counted` that C code makes."""
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before, Counted.compared = sys.gettrace(), 0
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines + Counted.compared


def record(messages: int) -> Recorder:
    """Three devices, a run for every message, a new part of a view for each ten messages, and sign-outs."""
    recorder = Recorder()
    log: list[Seen] = []
    for number in range(messages):
        request_id, run_id, at = f"m{number}", f"r{number}", float(number)
        recorder.begin_send(ROOM, request_id, "d0", "hi", at)
        log.append(Seen(E, Counted(len(log) + 1), "message", request_id, "hi", request_id))
        recorder.end_send(request_id, "ok", at + 0.5, (E, len(log)), run_id)
        log.append(Seen(E, Counted(len(log) + 1), "answer", None, "", run_id, run_id, 1))
        for device in ("d0", "d1", "d2"):
            recorder.run_event(device, ROOM, run_id, "run:changed", 1, (1, ""))
            recorder.run_event(device, ROOM, run_id, "entry", 1, None)
            recorder.saw(device, ROOM, *log[-2:])
        recorder.execution(Execution(run_id, "a", 1, at, at + 0.1), Execution(run_id, "b", 1, at + 0.2))
        if number % 10 == 5:
            recorder.reset("d1", ROOM, "ahead_of_log", E)
            recorder.damage(ROOM, f"other {number}", 0)
            recorder.leave("d2", ROOM, "u2")
            recorder.join_again("d2", ROOM)
            recorder.open_session(recorder.begin_session("d2", at, at), at + 0.1)
            recorder.end_session(number // 10, at + 0.4)
            recorder.sign_out("d2", at + 0.3, at + 0.5)
    recorder.log(ROOM, *log)
    return recorder


def test_judging_a_history_ten_times_as_long_costs_about_ten_times_as_much() -> None:
    short, long = record(60).history(), record(60 * TIMES).history()
    assert check(short).ok
    assert operations(lambda: check(long)) < GROWTH * operations(lambda: check(short))


def test_recording_costs_the_same_for_each_delivery_however_long_the_history_is() -> None:
    assert operations(lambda: record(60 * TIMES).history()) < GROWTH * operations(lambda: record(60).history())


def find_recovery(count: int) -> float | None:
    arrivals = {
        device: [(Counted(seq), seq + late) for seq in range(1, count)]
        for device, late in (("a", 0.0), ("b", 0.3))
    }
    spells = [Spell(float(at), at + 1.5, None if at % 3 else frozenset({"b"})) for at in range(0, count - 5, 2)]
    return recovery(arrivals, spells)


def test_figures_of_ten_times_as_many_arrivals_and_faults_cost_about_ten_times_as_much() -> None:
    assert find_recovery(100) is not None
    assert operations(lambda: find_recovery(100 * TIMES)) < GROWTH * operations(lambda: find_recovery(100))


def test_what_many_devices_get_alike_is_kept_once() -> None:
    """Of a chaos of 600 s: 12,000 messages on 12 devices stay under 20 MB; here a tenth of it."""
    tracemalloc.start()
    recorder = Recorder()
    for seq in range(1, 1_201):
        for number in range(12):
            entry = Seen(E, seq, "message", f"{seq:032}", f"{seq} says something", f"{seq:020}")
            recorder.saw(f"d{number}", ROOM, entry)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 2_000_000
    assert len({id(entry) for view in recorder.history().views for entry in view.entries}) == 1_200

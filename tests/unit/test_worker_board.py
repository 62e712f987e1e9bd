"""Workers see of each other which listens, is ready, or hangs, also from other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import pytest

from sio_server import worker_board
from sio_server.worker_board import Board, Place, WorkerState, environment_of, own_place


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_workers_that_do_not_listen_are_no_problem(clock: list[float]) -> None:
    board = Board.make(3)
    assert (board.problems(), board.listening()) == ({}, 0)
    Place(2, board).write(ready=True)
    assert (board.problems(), board.listening()) == ({}, 1)
    Place(2, board).leave()
    clock[0] += 100
    assert (board.problems(), board.listening()) == ({}, 0)


def test_a_worker_that_listens_and_is_not_ready_or_writes_nothing_is_one(clock: list[float]) -> None:
    board = Board.make(3)
    for number in (1, 2, 3):
        Place(number, board).write(ready=number != 2)
    assert board.problems() == {"2": "not ready"}
    clock[0] += worker_board.SILENT_S - 0.1
    Place(2, board).write(ready=True)
    Place(3, board).write(ready=True)
    clock[0] += 0.2
    assert board.problems() == {"1": "silent"}


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="of Linux")
def test_the_board_needs_no_folder_that_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    board = Board.make(256)
    Place(256, board).write(ready=True)
    assert board.read(256)[0] is WorkerState.READY


def test_a_process_finds_its_place_and_what_it_writes_is_seen_by_others() -> None:
    board = Board.make(2)
    program = "from sio_server.worker_board import own_place; own_place().write(ready=False)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment_of(2, board), pass_fds=(board.file,), timeout=30
    )
    assert done.returncode == 0
    state, age_s = board.read(2)
    assert (state, 0 <= age_s < 30) == (WorkerState.NOT_READY, True)
    assert board.read(1)[0] is WorkerState.GONE
    assert own_place({}) is None

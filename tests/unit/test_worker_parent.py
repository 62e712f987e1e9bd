"""The parent of workers starts them again, gives up when their settings are wrong, and leaves none behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from sio_server import workers as workers_module
from sio_server.workers import Workers
from tests.waiting import poll

ROOT = Path(__file__).resolve().parents[2]
# What a worker does, without a node: it says that it listens, and waits.
WORKER = """
import pathlib, signal, sys, time
from sio_server.worker_board import own_place
place = own_place()
with open(pathlib.Path(sys.argv[1]) / "started", "a") as file:
    file.write(f"{place.number} {__import__('os').environ['NODE_NAME']}\\n")
if sys.argv[2:] and (sys.argv[2] != "later" or len(open(file.name).readlines()) > 1):
    sys.exit(2 if sys.argv[2] == "later" else int(sys.argv[2]))
def leave(*_):
    place.leave()
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
while True:
    place.write(ready=True)
    time.sleep(0.1)
"""


@pytest.fixture(autouse=True)
def _as_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(workers_module, "CHECK_S", 0.05)
    monkeypatch.setattr(workers_module, "FIRST_BACK_OFF_S", 0.05)


def parent(folder: Path, *arguments: str, count: int = 2) -> tuple[Workers, asyncio.Event]:
    ready = asyncio.Event()
    command = (sys.executable, "-c", WORKER, str(folder), *arguments)
    return Workers(command, count, name="web", stops_within_s=5, on_ready=ready.set), ready


def started(folder: Path) -> list[str]:
    file = folder / "started"
    return sorted(file.read_text().splitlines()) if file.exists() else []


async def test_a_worker_that_ends_is_started_again_and_sigterm_ends_all(tmp_path: Path) -> None:
    group, ready = parent(tmp_path)
    running = asyncio.create_task(group.run())
    await asyncio.wait_for(ready.wait(), 20)
    assert started(tmp_path) == ["1 web.1", "2 web.2"]
    group._processes[2].kill()
    await poll(lambda: len(started(tmp_path)) == 3, "the worker again", 20)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0
    assert started(tmp_path) == ["1 web.1", "2 web.2", "2 web.2"]
    assert [process.returncode is not None for process in group._processes.values()] == [True, True]


async def test_settings_that_are_wrong_end_the_parent_and_each_worker_is_started_once(tmp_path: Path) -> None:
    group, ready = parent(tmp_path, "2")
    assert await asyncio.wait_for(group.run(), 20) == 2
    assert len(set(started(tmp_path))) == len(started(tmp_path)) > 0
    assert not ready.is_set()


async def test_a_worker_that_has_served_ends_the_others_never_however_it_ends_later(tmp_path: Path) -> None:
    """It was stopped by itself and has left the board; then it cannot start, as without Redis."""
    group, ready = parent(tmp_path, "later", count=1)
    running = asyncio.create_task(group.run())
    await asyncio.wait_for(ready.wait(), 20)
    group._processes[1].terminate()
    await poll(lambda: len(started(tmp_path)) >= 3, "another attempt after status 2", 20)
    assert not running.done()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0


async def test_a_worker_that_ends_again_and_again_is_started_later_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    group, _ = parent(tmp_path, "1", count=1)
    running = asyncio.create_task(group.run())
    await poll(lambda: len(started(tmp_path)) == 4, "four attempts", 20)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0
    pauses = [record.args[2] for record in caplog.records if isinstance(record.args, tuple)]
    assert pauses[:3] == [0.05, 0.1, 0.2]


async def test_a_worker_that_hangs_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "HANGS_AFTER", 3)
    monkeypatch.setattr("sio_server.worker_board.SILENT_S", 0.5)
    group, ready = parent(tmp_path)
    running = asyncio.create_task(group.run())
    await asyncio.wait_for(ready.wait(), 20)
    group._processes[1].send_signal(signal.SIGSTOP)
    await poll(lambda: started(tmp_path) == ["1 web.1", "1 web.1", "2 web.2"], "the worker again", 20)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0

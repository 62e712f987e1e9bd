"""The board of a group of workers: processes that share a port, each of which says here how it is.

It is a file without a name that the parent made and all of them map into their memory. So no worker asks another
one, and one that hangs is seen by all.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

VARIABLE = "ROOMGRAPH_WORKER"  # in the environment: the worker's number, how many there are, the board's file
SILENT_S = 5.0  # a worker that listens and has written nothing for so long hangs
WRITE_S = 0.5  # between two writings

_SLOT = struct.Struct("=dq")  # when it was written (monotonic, the same clock in all processes), and the state


class WorkerState(IntEnum):
    """How a worker is."""

    GONE = 0  # it does not listen: new connections go to the others
    READY = 1
    NOT_READY = 2


class Board:
    """The states of all workers, by their numbers, which begin with 1."""

    def __init__(self, file: int, count: int) -> None:
        """`file`: the descriptor of a file that is large enough."""
        self.file = file
        self.count = count
        self._memory = mmap.mmap(file, count * _SLOT.size)

    @classmethod
    def make(cls, count: int) -> Board:
        """A new one, for the processes that get its file."""
        if hasattr(os, "memfd_create"):  # Linux, where there may be no folder that can be written
            file = os.memfd_create("roomgraph-workers")
        else:
            with tempfile.TemporaryFile() as made:
                file = os.dup(made.fileno())
        os.ftruncate(file, count * _SLOT.size)
        return cls(file, count)

    def write(self, number: int, state: WorkerState) -> None:
        """Say how a worker is, now."""
        _SLOT.pack_into(self._memory, (number - 1) * _SLOT.size, time.monotonic(), state)

    def read(self, number: int) -> tuple[WorkerState, float]:
        """How a worker is, and how many seconds ago it said so."""
        written_at, state = _SLOT.unpack_from(self._memory, (number - 1) * _SLOT.size)
        return WorkerState(state), time.monotonic() - written_at

    def is_silent(self, number: int) -> bool:
        """Whether a worker that listens has written nothing for too long."""
        state, age_s = self.read(number)
        return state is not WorkerState.GONE and age_s > SILENT_S

    def problems(self) -> dict[str, str]:
        """What keeps workers that listen from serving, by their numbers. Those that do not are no problem."""
        problems = {}
        for number in range(1, self.count + 1):
            if self.is_silent(number):
                problems[str(number)] = "silent"
            elif self.read(number)[0] is WorkerState.NOT_READY:
                problems[str(number)] = "not ready"
        return problems

    def listening(self) -> int:
        """How many workers take connections."""
        return sum(self.read(number)[0] is not WorkerState.GONE for number in range(1, self.count + 1))


@dataclass(frozen=True)
class Place:
    """The place of this process among the workers."""

    number: int
    board: Board

    def write(self, *, ready: bool) -> None:
        """Say how this worker, which listens, is."""
        self.board.write(self.number, WorkerState.READY if ready else WorkerState.NOT_READY)

    def leave(self) -> None:
        """It does not listen any more."""
        self.board.write(self.number, WorkerState.GONE)


def environment_of(number: int, board: Board) -> dict[str, str]:
    """What a worker finds its place by."""
    return {VARIABLE: f"{number}/{board.count}/{board.file}"}


def own_place(environ: Mapping[str, str] = os.environ) -> Place | None:
    """The place of this process, if it is a worker."""
    told = environ.get(VARIABLE, "")
    if not told:
        return None
    number, count, file = (int(part) for part in told.split("/"))
    return Place(number, Board(file, count))

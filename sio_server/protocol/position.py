"""Positions in a log, and the verdict on a device that returns with one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Position(NamedTuple):
    """A place in one conversation's log: `seq` entries of its `epoch` have been seen (seq 0: none).

    The epoch changes when a log starts over, so that a lost log is noticed and not guessed.
    """

    epoch: str
    seq: int


class Verdict(StrEnum):
    """How a device was caught up."""

    RESUMED = "resumed"  # it gets exactly the entries it missed
    SNAPSHOT = "snapshot"  # it came without a position: it gets the latest entries
    RESET = "reset"  # its position cannot be served: it must drop what it has and take the snapshot


class Reason(StrEnum):
    """Why the verdict is what it is."""

    POSITION_VALID = "position_valid"
    NO_POSITION = "no_position"
    NEW_EPOCH = "new_epoch"
    OLDER_THAN_RETENTION = "older_than_retention"
    AHEAD_OF_LOG = "ahead_of_log"


@dataclass(frozen=True)
class LogBounds:
    """What a log holds: entries `first`..`head` of its `epoch`; empty when `first > head`."""

    epoch: str
    first: int
    head: int


@dataclass(frozen=True)
class Judgement:
    """The verdict, why, and `after`: the entries above this seq are to be sent."""

    verdict: Verdict
    reason: Reason
    after: int


def judge(position: Position | None, log: LogBounds, snapshot_size: int) -> Judgement:
    """Decide how to catch up a device which says it has seen everything up to `position`.

    Promises: `resumed` only when every entry above the position is still there; otherwise the device is
    told why and gets the latest `snapshot_size` entries. Nothing is silently skipped.
    """
    start = max(log.first - 1, log.head - snapshot_size)
    if position is None:
        return Judgement(Verdict.SNAPSHOT, Reason.NO_POSITION, start)
    if position.epoch != log.epoch:
        return Judgement(Verdict.RESET, Reason.NEW_EPOCH, start)
    if position.seq > log.head:
        return Judgement(Verdict.RESET, Reason.AHEAD_OF_LOG, start)
    if position.seq + 1 < log.first:
        return Judgement(Verdict.RESET, Reason.OLDER_THAN_RETENTION, start)
    return Judgement(Verdict.RESUMED, Reason.POSITION_VALID, position.seq)

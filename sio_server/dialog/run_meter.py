"""How long people wait for runs: measured from the message that began each, by Redis' clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sio_server.conversation.runs import ClaimedRun


def _nothing(*_: object, **__: object) -> None:
    pass


@dataclass(frozen=True)
class RunMeter:
    """Tells what happens to runs on this node, with seconds since their messages.

    An answer to a question, and a regenerate, count from when they are claimed. `now` returns Redis' time in
    seconds since 1970. All are called in the dialog's thread.
    """

    now: Callable[[], float]
    on_claimed: Callable[..., None] = _nothing  # (seconds, taken_over=)
    on_first_text: Callable[[float], None] = _nothing
    on_ended: Callable[[str, float], None] = _nothing

    def begin(self, run: ClaimedRun) -> MeteredRun:
        """A run was claimed here."""
        now = self.now()
        began = min(now, _asked_at(run) or now)
        self.on_claimed(now - began, taken_over=run.attempt > 1)
        return MeteredRun(self, began)


@dataclass(frozen=True)
class MeteredRun:
    """One run on this node."""

    meter: RunMeter
    began: float

    def first_text(self) -> None:
        """Devices can see the first text of this attempt."""
        self.meter.on_first_text(self.seconds())

    def end(self, status: str) -> None:
        """The run has ended."""
        self.meter.on_ended(status, self.seconds())

    def seconds(self) -> float:
        """Since the message; never less than nothing, though Redis' clock may be set."""
        return max(0.0, self.meter.now() - self.began)


def _asked_at(run: ClaimedRun) -> float | None:
    if run.kind != "message" or run.replaces is not None or run.input is None:
        return None
    return datetime.fromisoformat(run.input["ts"]).timestamp()

"""Figures of a scene, from when what came where. No I/O, no clock; the cost grows as n log n with what came."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from statistics import quantiles

# Of each device: the entries that came there and when, in the order in which they came.
Arrivals = Mapping[str, Sequence[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Spell:
    """A time during which something was broken for some devices; None: for all of them."""

    began: float
    ended: float
    hit: frozenset[str] | None = frozenset()


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """The `p50` and `p99` of times, in milliseconds."""
    times = list(seconds)
    cuts = quantiles(times, n=100, method="inclusive") if len(times) > 1 else [*times, 0.0][:1] * 99
    return {"p50": round(cuts[49] * 1000, 1), "p99": round(cuts[98] * 1000, 1)}


def level_at(arrivals: Arrivals, moment: float) -> dict[str, float | None]:
    """When each device had something that was news after a moment, and so everything before it; None: never."""
    return _Levels(arrivals).after(moment)


def recovery(arrivals: Arrivals, spells: Sequence[Spell]) -> float | None:
    """The longest time from the end of a spell until a device was level; None: one never was.

    While something else is broken for a device its time stands still.
    """
    levels = _Levels(arrivals)
    broken = {device: _Broken(device, spells) for device in arrivals}
    longest = 0.0
    for spell in spells:
        for device, at in levels.after(spell.ended).items():
            if at is None:
                return None
            longest = max(longest, at - spell.ended - broken[device].within(spell.ended, at))
    return longest


class _Levels:
    """Arrivals in an order in which each look-up takes a few comparisons, however much has come."""

    def __init__(self, arrivals: Arrivals) -> None:
        first: dict[int, float] = {}
        for came in arrivals.values():
            for seq, at in came:
                if at < first.get(seq, inf):
                    first[seq] = at
        by_time = sorted(first.items(), key=lambda item: item[1])
        self._first_at = [at for _, at in by_time]
        # The lowest seq of those that came first at this time or later.
        self._lowest = list(accumulate((seq for seq, _ in reversed(by_time)), min))[::-1]
        self._highest = {device: list(accumulate((seq for seq, _ in c), max)) for device, c in arrivals.items()}
        self._came_at = {device: [at for _, at in came] for device, came in arrivals.items()}

    def after(self, moment: float) -> dict[str, float | None]:
        """See `level_at`."""
        news = bisect_right(self._first_at, moment)
        if news == len(self._first_at):
            return dict.fromkeys(self._highest)
        # A device that was handed a later one was handed this one before it: that is for the checker to say.
        return {device: self._reached(device, self._lowest[news]) for device in self._highest}

    def _reached(self, device: str, seq: int) -> float | None:
        place = bisect_left(self._highest[device], seq)
        times = self._came_at[device]
        return times[place] if place < len(times) else None


class _Broken:
    """The spells of one device, joined where they overlap."""

    def __init__(self, device: str, spells: Sequence[Spell]) -> None:
        self._began: list[float] = []
        self._ended: list[float] = []
        hit = (spell for spell in spells if spell.hit is None or device in spell.hit)
        for spell in sorted(hit, key=lambda spell: spell.began):
            if self._ended and spell.began <= self._ended[-1]:
                self._ended[-1] = max(self._ended[-1], spell.ended)
            else:
                self._began.append(spell.began)
                self._ended.append(spell.ended)
        lengths = (ended - began for began, ended in zip(self._began, self._ended, strict=True))
        self._before = [0.0, *accumulate(lengths)]  # how long all joined spells before each one were

    def within(self, start: float, end: float) -> float:
        """How much of the time from start to end lies within spells."""
        return max(0.0, self._until(end) - self._until(start))

    def _until(self, moment: float) -> float:
        """How long spells had lasted by a moment."""
        place = bisect_left(self._began, moment)
        if not place:
            return 0.0
        return self._before[place - 1] + min(moment, self._ended[place - 1]) - self._began[place - 1]

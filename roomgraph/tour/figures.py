"""Figures of a scene, from when what came where. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    first: dict[int, float] = {}
    for came in arrivals.values():
        for seq, at in came:
            first[seq] = min(at, first.get(seq, at))
    news = [seq for seq, at in first.items() if at > moment]
    if not news:
        return dict.fromkeys(arrivals)
    # A device that was handed a later one was handed this one before it: that is for the checker to say.
    return {device: next((at for seq, at in came if seq >= min(news)), None) for device, came in arrivals.items()}


def recovery(arrivals: Arrivals, spells: Sequence[Spell]) -> float | None:
    """The longest time from the end of a spell until a device was level; None: one never was.

    While something else is broken for a device its time stands still.
    """
    longest = 0.0
    for spell in spells:
        for device, at in level_at(arrivals, spell.ended).items():
            if at is None:
                return None
            others = [other for other in spells if other.hit is None or device in other.hit]
            longest = max(longest, _outside(spell.ended, at, others))
    return longest


def _outside(start: float, end: float, spells: Sequence[Spell]) -> float:
    """How much of the time from start to end lies outside of all spells."""
    outside, at = 0.0, start
    for spell in sorted(spells, key=lambda spell: spell.began):
        if spell.began >= end:
            break
        outside += max(0.0, spell.began - at)
        at = max(at, spell.ended)
    return outside + max(0.0, end - at)

"""Figures of a scene, from when what came where. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

# Of each device: the entries that came there and when, in the order in which they came.
Arrivals = Mapping[str, Sequence[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Spell:
    """A time during which something was broken; what is to be well again is `mended`: mostly at its end."""

    began: float
    ended: float
    mended: float


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
    """The longest time from when something was mended until all devices were level; None: one never was.

    Time during which something else was broken does not count.
    """
    longest = 0.0
    for spell in spells:
        times = level_at(arrivals, spell.mended).values()
        known = [at for at in times if at is not None]
        if len(known) < len(times):
            return None
        longest = max(longest, _whole(spell.mended, max(known, default=spell.mended), spells))
    return longest


def _whole(start: float, end: float, spells: Sequence[Spell]) -> float:
    """How much of the time from start to end lies outside of all spells."""
    whole, at = 0.0, start
    for spell in sorted(spells, key=lambda spell: spell.began):
        if spell.began >= end:
            break
        whole += max(0.0, spell.began - at)
        at = max(at, spell.ended)
    return whole + max(0.0, end - at)

"""What a load run has seen, in bounded memory: histograms and counts that can be added up across processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

_FINE_BITS = 5  # 32 steps for each doubling: a figure is at most 3 % too high
_FINE = 1 << _FINE_BITS
_BUCKETS = _FINE * 36  # up to 19 hours in microseconds


class Histogram:
    """Times in seconds, counted in buckets that grow with the time; its size does not grow with the count."""

    def __init__(self) -> None:
        self.count = 0
        self.highest = 0.0
        self._counts = [0] * _BUCKETS

    def add(self, seconds: float) -> None:
        """Count one time; one below zero counts as none."""
        micros = int(seconds * 1e6) if seconds > 0 else 0
        shift = max(0, micros.bit_length() - _FINE_BITS - 1)
        self._counts[min((shift << _FINE_BITS) + (micros >> shift), _BUCKETS - 1)] += 1
        self.count += 1
        if seconds > self.highest:
            self.highest = seconds

    def quantile(self, share: float) -> float:
        """The time that `share` of all do not exceed (0.99: the 99th percentile), in seconds; 0.0 of none."""
        wanted = share * self.count
        so_far = 0
        for bucket, count in enumerate(self._counts):
            so_far += count
            if count and so_far >= wanted:
                return min(_upper(bucket), self.highest)
        return 0.0

    def shares(self, bounds: list[float]) -> list[int]:
        """How many times lie above each bound and not above the next one; the last has no upper bound."""
        found = [0] * len(bounds)
        for bucket, count in enumerate(self._counts):
            if count:
                at = sum(bound <= _upper(bucket) for bound in bounds) - 1
                found[max(at, 0)] += count
        return found

    def percentiles_ms(self) -> dict[str, float]:
        """`{p50, p99, p99_9}` in milliseconds."""
        shares = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}
        return {name: round(self.quantile(share) * 1000, 1) for name, share in shares.items()}

    def merge(self, other: Histogram) -> None:
        """Add what another one has counted."""
        self.count += other.count
        self.highest = max(self.highest, other.highest)
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]

    def to_wire(self) -> dict[str, Any]:
        """For another process, as JSON."""
        counts = {str(bucket): count for bucket, count in enumerate(self._counts) if count}
        return {"highest": self.highest, "counts": counts}

    @classmethod
    def from_wire(cls, item: Mapping[str, Any]) -> Self:
        """What `to_wire` has written."""
        histogram = cls()
        histogram.highest = float(item["highest"])
        for bucket, count in item["counts"].items():
            histogram._counts[int(bucket)] = count
            histogram.count += count
        return histogram


def _upper(bucket: int) -> float:
    """The longest time that a bucket counts, in seconds."""
    shift = max(0, (bucket >> _FINE_BITS) - 1)
    return (((bucket - (shift << _FINE_BITS)) + 1) << shift) / 1e6


@dataclass
class Figures:
    """Counts and times of any number of devices. What is wrong is counted, never repaired in silence."""

    sent: int = 0  # messages that were begun
    acked: int = 0
    refused: int = 0
    given_up: int = 0  # sends without an answer: the outcome is unknown
    delivered: int = 0  # entries that came live, at all devices
    caught_up: int = 0  # entries that came in pages
    duplicated: int = 0  # an event that came live twice, or a message that is in the log twice
    reordered: int = 0  # an event that came live after a later one
    gaps: int = 0  # events that came live while an earlier one was missing; a sync brought it
    differing: int = 0  # an entry that is not what other devices got at the same position
    misplaced: int = 0  # a message that is not at the position of its ack
    resets: int = 0  # a device was told to start over
    lost_connections: int = 0
    failed_connects: int = 0
    refused_connects: int = 0  # the node had no room, or another reason to send the device on
    other_events: int = 0
    latency: Histogram = field(default_factory=Histogram)  # from when a send was due to each of its deliveries
    acks: Histogram = field(default_factory=Histogram)  # from when a send was due to its ack
    pauses: Histogram = field(default_factory=Histogram)  # by chance, between a lost connection and the first try
    attempts: Histogram = field(default_factory=Histogram)  # from a lost connection to each try to connect
    returns: Histogram = field(default_factory=Histogram)  # from a lost connection to the next one
    behind: Histogram = field(default_factory=Histogram)  # from a lost connection to having all that was missed
    connects: Histogram = field(default_factory=Histogram)  # from a connect's beginning to its `session:opened`

    def merge(self, other: Figures) -> None:
        """Add those of other devices."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, Histogram):
                mine.merge(theirs)
            else:
                setattr(self, item.name, mine + theirs)

    def to_wire(self) -> dict[str, Any]:
        """For another process, as JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: v.to_wire() if isinstance(v, Histogram) else v for name, v in values.items()}

    @classmethod
    def from_wire(cls, values: Mapping[str, Any]) -> Self:
        """What `to_wire` has written."""
        read: dict[str, Any] = {
            name: Histogram.from_wire(value) if isinstance(value, Mapping) else value
            for name, value in values.items()
        }
        return cls(**read)

"""How a shard of a Redis Cluster is, as one node sees it."""

from __future__ import annotations

from dataclasses import dataclass

AWAY_AFTER_S = 3.5  # a shard that was not heard for so long is away


@dataclass(frozen=True)
class ShardHealth:
    """How long ago a shard has answered, and this node has heard itself there (seconds)."""

    name: str
    redis_s: float
    bus_s: float

    @property
    def is_away(self) -> bool:
        """Whether what it has cannot be served at present."""
        return max(self.redis_s, self.bus_s) >= AWAY_AFTER_S

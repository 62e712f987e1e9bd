"""What a Redis says of itself: read once, judged without it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

PINGS = 5


@dataclass(frozen=True)
class RedisFacts:
    """`info` is None when this user may not ask for it; of `config` what it may."""

    info: Mapping[str, Any] | None
    config: Mapping[str, str]
    round_trip_ms: float  # the shortest of some
    clock_ahead_s: float  # of Redis, before this machine's
    modules: frozenset[str] | None  # their names in small letters; None: not known


async def read_facts(redis: Redis) -> RedisFacts:
    """Ask Redis. Raises its errors when it does not answer."""
    trips: list[float] = []
    ahead_s = 0.0
    for _ in range(PINGS):
        asked_at, wall = time.monotonic(), time.time()
        seconds, microseconds = await redis.time()
        took = time.monotonic() - asked_at
        if not trips or took < min(trips):
            ahead_s = seconds + microseconds / 1e6 - (wall + took / 2)
        trips.append(took)
    info = await _or_none(redis.info("everything"))
    return RedisFacts(
        info=info,
        config=await _or_none(redis.config_get("*")) or {},
        round_trip_ms=min(trips) * 1000,
        clock_ahead_s=ahead_s,
        modules=await _modules(redis, info),
    )


async def _modules(redis: Redis, info: Mapping[str, Any] | None) -> frozenset[str] | None:
    listed = (info or {}).get("modules")
    if isinstance(listed, list):
        return frozenset(str(module.get("name", "")).lower() for module in listed if isinstance(module, dict))
    found: Any = await _or_none(redis.execute_command("MODULE", "LIST"))  # type: ignore[no-untyped-call]
    if found is None:
        return None
    listed_in_pairs = (module if isinstance(module, dict) else _paired(module) for module in found)
    return frozenset(str(module.get("name", "")).lower() for module in listed_in_pairs)


async def _or_none(answer: Any) -> Any:
    """What Redis answers, or None when it has no such command, or not for this user."""
    try:
        return await answer
    except ResponseError:
        return None


def _paired(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=False))

"""What waits for each endpoint, in Redis: a lane for each endpoint and partition, leased to one node at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sio_server.store.connection import redis_errors
from sio_server.store.keys import DISABLED_HOOKS, hook_state, hooks
from sio_server.store.partitions import PARTITIONS
from sio_server.store.scripts import Argument, Reply, Scripts

LEASE_MS = 20_000
KEPT_MS = 7 * 24 * 3600 * 1000  # without any node that delivers, what waits is kept so long
MAX_KEPT_BYTES = 4 * 1024 * 1024  # in a partition, about; older entries are dropped
AT_ONCE = 20  # entries of a lane that are read together


@dataclass(frozen=True)
class Lane:
    """What one endpoint is told of the conversations of one partition, in order."""

    name: str
    partition: int

    @property
    def keys(self) -> list[str]:
        return [hooks(self.partition), hook_state(self.partition)]


@dataclass(frozen=True)
class Waiting:
    """An entry that is to be delivered."""

    id: str
    conversation_id: str
    type: str
    envelope: str


@dataclass(frozen=True)
class Taken:
    """What is next in a lane whose lease this node has; `failures` of the first of `entries`.

    `lost`: between which times (ISO 8601) what was dropped untold had been appended.
    """

    entries: Sequence[Waiting]
    failures: int
    lost: tuple[str, str] | None = None


@dataclass(frozen=True)
class Settled:
    """The lease is still this node's; for how long the lane has been failing."""

    failing_ms: int


@dataclass(frozen=True)
class LaneState:
    """How a lane stands, as people are told; times are milliseconds since 1970 by Redis' clock, or None."""

    waiting: int
    failures: int
    since_ms: int | None
    told_ms: int | None
    problem: str


class HookLanes:
    """The lanes of all endpoints. Raises Unavailable."""

    def __init__(self, scripts: Scripts, node_id: str, names: Sequence[str]) -> None:
        self._scripts = scripts
        self._node_id = node_id
        self._names = list(names)
        self.all = [Lane(name, partition) for name in names for partition in range(PARTITIONS)]

    async def open(self) -> None:
        """Keep what is appended from now on; a new endpoint begins here.

        On a Redis Cluster partitions that cannot be reached are opened when their lanes are found `unopened`.
        """
        arguments: dict[str, Argument] = {"names": self._names, "kept_ms": KEPT_MS}
        lanes = [Lane("", partition) for partition in range(PARTITIONS)]
        await self._scripts.some("open_hooks", [(lane.keys, arguments) for lane in lanes])

    async def take(self, lanes: Sequence[Lane]) -> tuple[dict[Lane, Taken], set[Lane]]:
        """What is next in those lanes that this node has, or can get; and the lanes that other nodes have."""
        replies = await self._scripts.some("take_hooks", self._calls(lanes, LEASE_MS))
        found = [(lane, reply) for lane, reply in zip(lanes, replies, strict=True) if reply is not None]
        if any(reply.status == "unopened" for _, reply in found):  # it was kept for too long, or the store is new
            await self.open()
        held = {lane for lane, reply in found if reply.status == "held"}
        return {lane: _taken(reply) for lane, reply in found if reply.status == "ok"}, held

    async def release(self, lanes: Sequence[Lane]) -> None:
        """Let other nodes have these lanes at once."""
        await self._scripts.many("take_hooks", self._calls(lanes, 0))

    async def settle(
        self,
        lane: Lane,
        *,
        position: str = "",
        failures: int = 0,
        delay_ms: int = 0,
        problem: str = "",
        disabled: Collection[str] = (),
    ) -> Settled | None:
        """Record what was delivered, or that the next has failed; None when the lane is another node's by now.

        Nothing is kept for the endpoints that are `disabled`.
        """
        reply = await self._scripts.plain(
            "settle_hook",
            lane.keys,
            endpoint=lane.name,
            node_id=self._node_id,
            lease_ms=LEASE_MS,
            position=position,
            failures=failures,
            delay_ms=delay_ms,
            problem=problem,
            disabled=sorted(disabled),
        )
        if reply.status == "stale":
            return None
        since = int(reply["since_ms"] or reply["now_ms"])
        return Settled(int(reply["now_ms"]) - since)

    async def bound(self, disabled: Collection[str]) -> int:
        """Drop what is not needed, or too much; return how many entries wait, in all partitions that answer."""
        about: dict[str, Argument] = {
            **{"disabled": sorted(disabled), "max_bytes": MAX_KEPT_BYTES, "kept_ms": KEPT_MS},
        }
        lanes = [Lane("", partition) for partition in range(PARTITIONS)]
        replies = await self._scripts.some("bound_hooks", [(lane.keys, about) for lane in lanes])
        return sum(int(reply["waiting"]) for reply in replies if reply is not None)

    async def states(self, name: str, *, again: bool = False) -> list[LaneState]:
        """How the lanes of an endpoint stand; `again`: what has failed is tried again at once."""
        arguments: dict[str, Argument] = {"endpoint": name, "again": again}
        calls = [(lane.keys, arguments) for lane in self.all if lane.name == name]
        return [_state(reply) for reply in await self._scripts.many("read_hooks", calls)]

    async def disabled(self) -> dict[str, dict[str, Any]]:
        """The endpoints that are told nothing: why, and since when (ISO 8601)."""
        with redis_errors():
            found = await self._scripts.redis.hgetall(DISABLED_HOOKS)
        return {str(name): json.loads(why) for name, why in found.items()}

    async def disable(self, name: str, why: Mapping[str, Any]) -> None:
        """Tell an endpoint nothing more, until it is enabled."""
        with redis_errors():
            await self._scripts.redis.hset(DISABLED_HOOKS, name, json.dumps(why))

    async def enable(self, name: str) -> None:
        """Tell an endpoint again, from where it was."""
        await self.states(name, again=True)
        with redis_errors():
            await self._scripts.redis.hdel(DISABLED_HOOKS, name)

    def _calls(self, lanes: Sequence[Lane], lease_ms: int) -> list[tuple[list[str], dict[str, Argument]]]:
        about: dict[str, Argument] = {
            **{"node_id": self._node_id, "lease_ms": lease_ms},
            **{"count": AT_ONCE, "kept_ms": KEPT_MS},
        }
        return [(lane.keys, {"endpoint": lane.name, **about}) for lane in lanes]


def _taken(reply: Reply) -> Taken:
    flat = [str(value) for value in reply["entries"]]
    entries = [Waiting(*flat[i : i + 4]) for i in range(0, len(flat), 4)]
    lost_from, lost_to = str(reply["lost_from"]), str(reply["lost_to"])
    return Taken(entries, int(reply["failures"]), (_appended(lost_from), _appended(lost_to)) if lost_to else None)


def _appended(entry_id: str) -> str:
    ms, _, _ = entry_id.partition("-")
    return datetime.fromtimestamp(int(ms) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _state(reply: Reply) -> LaneState:
    since, told = reply["since_ms"], reply["told_ms"]
    return LaneState(
        int(reply["waiting"]),
        int(reply["failures"] or 0),
        int(since) if since else None,
        int(told) if told else None,
        str(reply["problem"]),
    )

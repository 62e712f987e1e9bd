"""LangGraph's store in Redis: what graphs remember beyond a conversation, the same on every node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from itertools import takewhile
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from sio_server.dialog.memory.items import (
    BadItem,
    Record,
    matches,
    member_of,
    passes,
    place_of,
    range_of,
    record_of,
    value_text,
)
from sio_server.dialog.memory.vectors import Vectors
from sio_server.dialog.savers.errors import StoreLost, store_errors
from sio_server.protocol.errors import Unavailable
from sio_server.store.bounded import BoundedRedis
from sio_server.store.keys import MemoryKeys
from sio_server.store.partitions import PARTITIONS, partition
from sio_server.store.pipelined import LoadedScript

log = logging.getLogger(__name__)

MAX_LIMIT = 10_000  # items, or namespaces, of one search
MAX_FOUND_BYTES = 32 * 1024 * 1024  # of their values
SET_UP_WAIT_S = 60.0
SET_UP_PAUSE_S = 0.1
AT_ONCE = 1000  # members in one reply
READ_AT_ONCE = 100  # items in one reply
READ_BYTES = 1024 * 1024  # after which a reply ends


class RedisStore(BaseStore):
    """A BaseStore for every graph, on any Redis, for a client whose replies are `str`.

    Made in the event loop in which graphs run. Calls without `await` work in other threads, such as those of nodes
    and tools that are no coroutines. Each write has the same effect once or twice. Values are JSON, of at most
    1 MiB; what would come back as another is refused (BadItem, a ValueError). What is found comes newest first.

    `index` (LangGraph's IndexConfig) lets items be searched by meaning, where Redis has JSON and Search;
    otherwise, and without an `index`, a `query` is ignored. `ttl` is LangGraph's TTLConfig; what has expired
    is never returned. Raises StoreLost while Redis cannot be reached.
    """

    supports_ttl = True

    def __init__(self, redis: Redis, index: IndexConfig | None = None, ttl: TTLConfig | None = None) -> None:
        super().__init__()
        self.ttl_config = ttl
        self._redis = redis
        self._loop = asyncio.get_running_loop()
        self._vectors = Vectors(redis, index) if index else None
        self._scripts: dict[str, AsyncScript] = {}

    async def set_up(self, wait_s: float = SET_UP_WAIT_S) -> None:
        """Prepare the search by meaning, if it was asked for. Where this Redis cannot, that is logged.

        While Redis cannot be reached it is tried again, for at most `wait_s` seconds; then Unavailable is raised.
        """
        deadline = self._loop.time() + wait_s
        if self._vectors is not None and isinstance(self._redis, BoundedRedis) and self._redis.routed is not None:
            log.warning("items cannot be searched by meaning on a Redis Cluster: a query is ignored")
            self._vectors = None
        while self._vectors is not None:
            try:
                if not await self._vectors.set_up():
                    self._vectors = None
                return
            except StoreLost as exc:
                if self._loop.time() > deadline:
                    raise Unavailable("the store of graphs could not be set up") from exc
            await asyncio.sleep(SET_UP_PAUSE_S)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute operations, from a thread in which the loop of the graphs does not run."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            raise asyncio.InvalidStateError(
                "this would block every graph on the node: in a coroutine, write `await store.aget(...)`, "
                "`await store.aput(...)` and so on"
            )
        return asyncio.run_coroutine_threadsafe(self.abatch(list(ops)), self._loop).result()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute operations: those that read, then those that write; of writes to one item, the last."""
        operations = list(ops)
        results: list[Result] = [None] * len(operations)
        writes: dict[tuple[tuple[str, ...], str], PutOp] = {}
        for number, op in enumerate(operations):
            match op:
                case GetOp():
                    results[number] = await self._get(op)
                case SearchOp():
                    results[number] = await self._search(op)
                case ListNamespacesOp():
                    results[number] = await self._list_namespaces(op)
                case PutOp():
                    writes[op.namespace, op.key] = op
        for write in writes.values():
            await self._put(write)
        return results

    # Operations

    async def _get(self, op: GetOp) -> Item | None:
        (record,) = await self._read([member_of(op.namespace, op.key)], refresh=op.refresh_ttl)
        return record.as_item() if record else None

    async def _put(self, op: PutOp) -> None:
        member = member_of(op.namespace, op.key)
        text = "" if op.value is None else value_text(op.value)
        lifetime = "" if op.ttl is None else str(max(1, round(op.ttl * 60_000_000)))
        await self._run("put", _partition(op.namespace), member, lifetime, text)
        if self._vectors is not None:
            await self._vectors.write(member, op.value, op.index, op.ttl)

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        _check_window(op.limit, op.offset)
        if op.limit == 0:
            return []
        scores: dict[str, float] = {}
        if op.query and self._vectors is not None:
            nearest = MAX_LIMIT if op.filter else op.offset + op.limit
            scores = await self._vectors.search(op.query, op.namespace_prefix, nearest)
            members = list(scores)
        else:
            members = await self._newest(op.namespace_prefix)
        skipped = op.offset
        if not op.filter:
            members, skipped = members[op.offset : op.offset + op.limit], 0
        found = (await self._filtered(members, op, skipped + op.limit))[skipped:]
        if op.refresh_ttl:
            lasting = [member for member, record in found if record.has_lifetime]
            await self._read(lasting, refresh=True)
        return [record.as_found(scores.get(member)) for member, record in found]

    async def _filtered(self, members: Sequence[str], op: SearchOp, enough: int) -> list[tuple[str, Record]]:
        """The first so many of these that pass the filter."""
        found: list[tuple[str, Record]] = []
        size = 0
        for start in range(0, len(members), READ_AT_ONCE):
            chunk = members[start : start + READ_AT_ONCE]
            for member, record in zip(chunk, await self._read(chunk), strict=True):
                if record is None or not passes(record.value, op.filter):
                    continue
                found.append((member, record))
                size += record.size
                if len(found) == enough:
                    return found
                if size > MAX_FOUND_BYTES:
                    raise BadItem(f"a search found more than {MAX_FOUND_BYTES} bytes: give it a smaller limit")
        return found

    async def _list_namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        _check_window(op.limit, op.offset)
        conditions = op.match_conditions or ()
        fixed: list[str] = []  # the labels with which all of them begin
        for condition in conditions:
            if condition.match_type == "prefix":
                known = list(takewhile(lambda label: label != "*", condition.path))
                fixed = max(fixed, known, key=len)
        found: set[tuple[str, ...]] = set()
        for number in _partitions(fixed):
            first, last = range_of(fixed)
            while members := await self._run("namespaces", number, first, last, AT_ONCE):
                namespaces = [place_of(member)[0] for member in members]
                found |= {
                    namespace[: op.max_depth]
                    for namespace in namespaces
                    if all(matches(namespace, condition) for condition in conditions)
                }
                first = b"(" + "".join(f"{label}\0" for label in namespaces[-1]).encode() + b"\0\xff"
        return sorted(found)[op.offset : op.offset + op.limit]

    # Redis

    async def _newest(self, namespace: Sequence[str]) -> list[str]:
        """All items in a namespace and below it, the one written last first."""
        found: list[tuple[float, str]] = []
        for number in _partitions(namespace):
            first, last = range_of(namespace)
            while flat := await self._run("find", number, first, last, AT_ONCE):
                pairs = zip(flat[::2], flat[1::2], strict=True)
                found += [(-float(updated), member) for member, updated in pairs if updated]
                first = b"(" + flat[-2].encode()
        return [member for _, member in sorted(found)]

    async def _read(self, members: Sequence[str], *, refresh: bool = False) -> list[Record | None]:
        """These items, None for those that are not there; `refresh`: their lifetimes begin again."""
        found: dict[str, Record | None] = {}
        by_partition: dict[int, list[str]] = {}
        for member in members:
            by_partition.setdefault(_partition(place_of(member)[0]), []).append(member)
        for number, left in by_partition.items():
            while left:
                replies = await self._run("get", number, "1" if refresh else "", READ_BYTES, *left)
                found |= {member: record_of(member, reply) for member, reply in zip(left, replies, strict=False)}
                left = left[len(replies) :]
        if refresh and self._vectors is not None:
            await self._vectors.refresh([member for member, record in found.items() if record])
        return [found[member] for member in members]

    async def _run(self, name: str, number: int, *args: str | bytes | int) -> Any:
        keys = MemoryKeys(number).all
        with store_errors():
            if isinstance(self._redis, BoundedRedis):  # of a cluster: each partition is somewhere else
                (reply,) = await self._redis.run_together([(_loaded(name), keys, args)])
                if isinstance(reply, Exception):
                    raise reply
                return reply
            if name not in self._scripts:
                self._scripts[name] = self._redis.register_script(_source("_items") + _source(name))
            return await self._scripts[name](keys=keys, args=args)


def _check_window(limit: int, offset: int) -> None:
    if not (0 <= limit <= MAX_LIMIT and offset >= 0):
        raise BadItem(f"limit is from 0 to {MAX_LIMIT}, and offset is not negative: read on with a greater offset")


def _partition(namespace: Sequence[str]) -> int:
    return partition(namespace[0])


def _partitions(namespace: Sequence[str]) -> Iterable[int]:
    """Where the items of a namespace, and those below it, lie."""
    return [_partition(namespace)] if namespace else range(PARTITIONS)


@cache
def _loaded(name: str) -> LoadedScript:
    return LoadedScript(_source("_items") + _source(name))


@cache
def _source(name: str) -> str:
    return (resources.files(__package__ + ".lua") / f"{name}.lua").read_text(encoding="utf-8")

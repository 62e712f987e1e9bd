"""Vectors of the store's items, for a Redis with JSON and Search: items are found by meaning."""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langgraph.store.base import IndexConfig, ensure_embeddings, get_text_at_path, tokenize_path
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from sio_server.dialog.memory.items import beginning_of, place_of
from sio_server.dialog.savers.errors import store_errors
from sio_server.store.json_text import to_json
from sio_server.store.keys import MEMORY_VECTORS

log = logging.getLogger(__name__)

MAX_NEAREST = 10_000  # of one search


class Vectors:
    """One document for each item that has texts, found by the namespaces that it is in.

    It is written after its item. Where a node dies between, the item has the vectors of its earlier value, or
    none; the run's next attempt writes it again.
    """

    def __init__(self, redis: Redis, index: IndexConfig) -> None:
        self._redis = redis
        self._dims = int(index["dims"])
        self._embeddings = ensure_embeddings(index.get("embed"))
        self._fields = [_tokens(path) for path in index.get("fields") or ["$"]]
        self._index = f"{MEMORY_VECTORS}:{self._dims}"

    async def set_up(self) -> bool:
        """Create the index, unless it is there; False where this Redis cannot have one, which is logged."""
        fields = (
            *("$.in[*]", "AS", "in", "TAG", "$.vectors[*]", "AS", "vector", "VECTOR", "FLAT", 6),
            *("TYPE", "FLOAT32", "DIM", self._dims, "DISTANCE_METRIC", "COSINE"),
        )
        how = ("ON", "JSON", "PREFIX", 1, f"{self._index}:", "SCHEMA", *fields)
        try:
            await self._command("FT.CREATE", self._index, *how)
        except ResponseError as exc:
            text = str(exc).lower()
            if "already exists" in text:
                return True
            if "unknown command" not in text and not isinstance(exc, NoPermissionError):
                raise
            log.warning(
                "vector search is off: this Redis has no JSON and Search, or its user may not use them; the "
                "store's other searches work"
            )
            return False
        return True

    async def write(
        self,
        member: str,
        value: Mapping[str, Any] | None,
        paths: Literal[False] | list[str] | None,
        ttl: float | None,
    ) -> None:
        """Embed the texts of an item in place of those it had; without texts it is not found by meaning."""
        fields = self._fields if paths is None else [_tokens(path) for path in paths or ()]
        texts = [text for field in fields for text in get_text_at_path(value, field)] if value else []
        key = self._key(member)
        if not texts:
            await self._command("UNLINK", key)
            return
        vectors = await self._embeddings.aembed_documents(texts)
        labels = place_of(member)[0]
        inside = [_digest(beginning_of(labels[:depth])) for depth in range(1, len(labels) + 1)]
        lifetime_ms = None if ttl is None else max(1, round(ttl * 60_000))
        document = {"in": inside, "member": member, "lifetime_ms": lifetime_ms, "vectors": vectors}
        await self._command("JSON.SET", key, "$", to_json(document))
        if lifetime_ms is None:
            await self._command("PERSIST", key)
        else:
            await self._command("PEXPIRE", key, lifetime_ms)

    async def refresh(self, members: Sequence[str]) -> None:
        """Let the lifetimes of these items' vectors begin again."""
        for member in members:
            key = self._key(member)
            held = await self._command("JSON.GET", key, "$.lifetime_ms")
            lifetime = held and held.strip("[]")
            if lifetime and lifetime != "null":
                await self._command("PEXPIRE", key, lifetime)

    async def search(self, query: str, namespace: Sequence[str], nearest: int) -> dict[str, float]:
        """The items nearest in meaning in a namespace and below it, best first: member -> likeness, at most 1."""
        vector = await self._embeddings.aembed_query(query)
        among = f"(@in:{{{_digest(beginning_of(namespace))}}})" if namespace else "*"
        count = max(1, min(nearest, MAX_NEAREST))
        command = (
            *("FT.SEARCH", self._index, f"{among}=>[KNN {count} @vector $vector AS distance]"),
            *("PARAMS", 2, "vector", struct.pack(f"<{len(vector)}f", *vector), "SORTBY", "distance"),
            *("RETURN", 4, "distance", "$.member", "AS", "member", "LIMIT", 0, count, "DIALECT", 2),
        )
        found = await self._command(*command)
        rows = [dict(zip(row[::2], row[1::2], strict=True)) for row in found[2::2]]
        return {row["member"]: 1 - float(row["distance"]) for row in rows}

    def _key(self, member: str) -> str:
        return f"{self._index}:{_digest(member)}"

    async def _command(self, *command: Any) -> Any:
        untyped: Any = self._redis.execute_command
        with store_errors():
            return await untyped(*command)


def _tokens(path: str) -> str | list[str]:
    return path if path == "$" else tokenize_path(path)


def _digest(text: str) -> str:
    return hashlib.blake2s(text.encode(), digest_size=16).hexdigest()

"""How state becomes bytes and comes back: LangGraph's own serializer, which here makes nothing but data again."""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
from collections import deque
from collections.abc import Iterable
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from uuid import UUID

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer, _create_msgpack_ext_hook
from langgraph.types import Send

# What LangGraph writes by a class's name and the arguments that make it again.
_DATA = (Enum, pathlib.PurePath, UUID, Decimal, set, frozenset, deque, date, time, timedelta, tzinfo, Send)
_ADDRESSES = (IPv4Address, IPv4Network, IPv6Address, IPv6Network)
# Methods by which LangGraph knows models of pydantic and their like, secrets, and named tuples.
_METHODS = ("model_dump", "dict", "get_secret_value", "_asdict")
_KINDS = frozenset(("null", "bytes", "bytearray", "msgpack"))


class StateSerializer(JsonPlusSerializer):
    """The serializer of every saver: what InMemorySaver gives back, this gives back.

    The bytes name the classes of a graph's own objects, and reading calls these. Only this class writes such
    bytes; what a client sends reaches it as text, numbers, lists and dictionaries, never as a name
    to be looked up.
    Reading calls classes that hold data, no functions; it never unpickles; and it knows no JSON, in which a
    client's dictionary could be taken for an object. LANGGRAPH_STRICT_MSGPACK has no effect: it would turn objects
    of types that a graph's schema does not name into dictionaries.
    """

    def __init__(self) -> None:
        super().__init__(pickle_fallback=False, allowed_json_modules=None, allowed_msgpack_modules=True)
        # `True` would warn of each type, and may be taken back in a later version; an explicit list is for good.
        types: Any = _DataTypes()
        self._unpack_ext_hook = _create_msgpack_ext_hook(types)

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[tuple[str, ...] | type]) -> StateSerializer:
        """This serializer: its types are not listed."""
        return self

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """The kind and the bytes of an object. Raises TypeError for one that LangGraph cannot serialize."""
        kind, data = super().dumps_typed(obj)
        return kind, bytes(data)  # of a bytearray as well

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The object that `dumps_typed` was given."""
        if data[0] not in _KINDS:
            raise ValueError(f"state is never written as {data[0]}")
        return super().loads_typed(data)


class _DataTypes:
    """Holds (module, name) of each class that holds data, as LangGraph writes it."""

    def __contains__(self, key: tuple[str, ...]) -> bool:
        return _holds_data(*key)


@cache
def _holds_data(module: str, name: str) -> bool:
    found = getattr(importlib.import_module(module), name)
    return isinstance(found, type) and (
        issubclass(found, (*_DATA, *_ADDRESSES))
        or dataclasses.is_dataclass(found)
        or any(callable(getattr(found, method, None)) for method in _METHODS)
    )

"""Items of the store as they are written, and which of them a search means; nothing here does I/O."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from langgraph.store.base import Item, MatchCondition, SearchItem

from sio_server.store.json_text import to_json

MAX_VALUE_BYTES = 1024 * 1024  # of an item, as JSON
MAX_PATH_BYTES = 2048  # of its namespace and key together

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadItem(ValueError):
    """What a graph wanted to store, or to search for, is not possible; the message names the place."""


class Record(NamedTuple):
    """An item as it was read."""

    namespace: tuple[str, ...]
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    has_lifetime: bool
    size: int  # of its value, in characters of JSON

    def as_item(self) -> Item:
        """The item as a read returns it."""
        return Item(
            value=self.value,
            key=self.key,
            namespace=self.namespace,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def as_found(self, score: float | None = None) -> SearchItem:
        """The item as a search returns it."""
        return SearchItem(self.namespace, self.key, self.value, self.created_at, self.updated_at, score)


def beginning_of(namespace: Sequence[str]) -> str:
    """What the members of all items in this namespace, and in those below it, begin with."""
    for label in namespace:
        if not isinstance(label, str) or not label or "\0" in label:
            raise BadItem(f"a label of a namespace is a text without NUL, and not {label!r}")
    return "".join(f"{label}\0" for label in namespace)


def member_of(namespace: Sequence[str], key: str) -> str:
    """The name of an item in its partition."""
    if not namespace:
        raise BadItem("a namespace has one label at least")
    if not isinstance(key, str):
        raise BadItem(f"the key of an item is a text, and not {key!r}")
    member = f"{beginning_of(namespace)}\0{key}"
    if len(encoded(member, "the key of an item")) > MAX_PATH_BYTES:
        raise BadItem(f"namespace and key of an item are {MAX_PATH_BYTES} bytes at most")
    return member


def range_of(namespace: Sequence[str]) -> tuple[bytes, bytes]:
    """The range of the members in this namespace and below it: UTF-8 has no byte 255."""
    first = encoded(beginning_of(namespace), "a namespace")
    return (b"[" + first, b"(" + first + b"\xff") if namespace else (b"-", b"+")


def place_of(member: str) -> tuple[tuple[str, ...], str]:
    """The namespace and the key in a member."""
    labels, _, key = member.partition("\0\0")
    return tuple(labels.split("\0")), key


def encoded(text: str, what: str) -> bytes:
    """UTF-8."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadItem(f"{what} has half of a character (a surrogate), which cannot be stored") from None


def value_text(value: Mapping[str, Any]) -> str:
    """A value as JSON. Raises BadItem for one that would come back as another, and for one that is too large."""
    _check_json(value, "the value")
    text = to_json(dict(value))
    size = len(encoded(text, "the value of an item"))
    if size > MAX_VALUE_BYTES:
        raise BadItem(f"the value of an item is {MAX_VALUE_BYTES} bytes at most, and not {size}")
    return text


def _check_json(value: Any, where: str) -> None:
    match value:
        case None | bool() | int() | str():
            return
        case float() if math.isfinite(value):
            return
        case list() | tuple():
            for number, item in enumerate(value):
                _check_json(item, f"{where}[{number}]")
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise BadItem(f"{where} has the key {key!r}: keys of what is stored are texts")
                _check_json(item, f"{where}.{key}")
        case _:
            raise BadItem(
                f"{where} is {value!r:.60}: what is stored is JSON. Store a model as model_dump(mode='json'), a "
                "date as isoformat()"
            )


def record_of(member: str, parts: Sequence[str]) -> Record | None:
    """What `get.lua` returned of a member."""
    if not parts:
        return None
    created, updated, lifetime, text = parts
    times = [_EPOCH + timedelta(microseconds=int(float(us))) for us in (created, updated)]
    return Record(*place_of(member), json.loads(text), times[0], times[1], bool(lifetime), len(text))


# Searching

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def passes(value: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Whether a value passes a filter. Raises BadItem for an operator that there is not."""
    return all(_compares(value.get(key), expected) for key, expected in (wanted or {}).items())


def _compares(value: Any, expected: Any) -> bool:
    if not isinstance(expected, Mapping):
        return bool(value == _as_json(expected))
    if not any(str(key).startswith("$") for key in expected):
        return isinstance(value, Mapping) and all(_compares(value.get(key), expected[key]) for key in expected)
    for name, other in expected.items():
        compare = _COMPARISONS.get(name)
        if compare is None:
            raise BadItem(f"a filter has no {name}: there are {', '.join(_COMPARISONS)}")
        if name in ("$eq", "$ne"):
            left, right = value, _as_json(other)
        elif isinstance(value, str) and isinstance(other, str):
            left, right = value, other
        else:
            try:
                left, right = float(value), float(other)
            except (TypeError, ValueError):  # neither more nor less, as what is missing is
                return False
        if not compare(left, right):
            return False
    return True


def _as_json(value: Any) -> Any:
    return [_as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def matches(namespace: Sequence[str], condition: MatchCondition) -> bool:
    """Whether a namespace begins, or ends, with the labels of a condition; `*` is any label."""
    path = condition.path
    if len(namespace) < len(path):
        return False
    if condition.match_type == "prefix":
        compared = namespace[: len(path)]
    elif condition.match_type == "suffix":
        compared = namespace[len(namespace) - len(path) :]
    else:
        raise BadItem(f"namespaces are matched by prefix or suffix, and not by {condition.match_type!r}")
    return all(expected in ("*", label) for label, expected in zip(compared, path, strict=True))

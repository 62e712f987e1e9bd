"""What the annotations of a graph say of a value: a text, a message, several messages, or a state of them."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from langchain_core.messages import BaseMessage
from langgraph.pregel import Pregel
from pydantic import BaseModel
from typing_extensions import is_typeddict


class Holds(StrEnum):
    """What values of a type hold."""

    TEXT = "text"
    MESSAGE = "message"
    MESSAGES = "messages"
    STATE = "state"  # an object with `messages`
    UNKNOWN = "unknown"


def holds(annotation: Any) -> Holds:
    """What values of this type hold, where that can be told."""
    if get_origin(annotation) is Annotated:
        return holds(get_args(annotation)[0])
    if annotation is str:
        return Holds.TEXT
    if _is_message(annotation):
        return Holds.MESSAGE
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        inner = {holds(item) for item in arguments if item is not type(None)}
        return inner.pop() if len(inner) == 1 else Holds.UNKNOWN
    if isinstance(origin, type) and issubclass(origin, Sequence) and arguments and _is_message(arguments[0]):
        return Holds.MESSAGES
    return Holds.STATE if "messages" in fields_of(annotation) else Holds.UNKNOWN


def fields_of(schema: Any) -> dict[str, Any]:
    """The fields of a TypedDict, dataclass or pydantic model with their types; none for anything else."""
    if not isinstance(schema, type) or not (
        is_typeddict(schema) or dataclasses.is_dataclass(schema) or issubclass(schema, BaseModel)
    ):
        return {}
    try:
        return dict(get_type_hints(schema, include_extras=True))
    except Exception:  # names that are there for type checkers only
        return dict.fromkeys(schema.__annotations__, Any)


def entrypoint_input(graph: Pregel[Any, Any, Any, Any]) -> Any:
    """The type of what an `@entrypoint` takes; Any where it does not say so."""
    for node in graph.nodes.values():
        bound: Any = node.bound
        function = _unwrapped(getattr(bound, "func", None) or getattr(bound, "afunc", None))
        if function is None:
            continue
        try:
            hints = get_type_hints(function, include_extras=True)
        except Exception:  # names that are there for type checkers only
            return Any
        first = next(iter(function.__code__.co_varnames), "")
        return hints.get(first, Any)
    return Any


def _unwrapped(function: Any) -> Callable[..., Any] | None:
    while isinstance(function, functools.partial):  # a plain function, called in a thread
        function = next((item for item in function.args if callable(item)), None)
    return function if isinstance(function, types.FunctionType) else None


def _is_message(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_message(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        # AnyMessage, and LangChain's unions of messages with their other forms.
        return any(_is_message(item) for item in get_args(annotation))
    return isinstance(annotation, type) and issubclass(annotation, BaseMessage)

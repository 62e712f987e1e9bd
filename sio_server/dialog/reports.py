"""What a graph reports, as devices may see it: plain JSON of a bounded size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import islice
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from pydantic import BaseModel, TypeAdapter

from sio_server.protocol.text import valid_unicode
from sio_server.store.json_text import to_json

# What members are told of the nodes that have run: nothing, their names, or also what they return.
ReportNodes = Literal["off", "names", "full"]

MAX_REPORT_CHARS = 4096  # of JSON; a longer report is cut and marked
MAX_TOOLS = 50  # tool calls named in an answer
MAX_DEPTH = 40
MAX_ITEMS = 100  # of an iterator, such as a generator, which can be read only once
_ANYTHING = TypeAdapter[Any](Any)


def plain_json(value: Any, depth: int = 0) -> Any:
    """A value as plain JSON: messages by role and text, objects by their fields, the rest by its text.

    Never raises: a graph may report anything.
    """
    if depth > MAX_DEPTH:
        return "…"
    try:
        return _plain_json(value, depth + 1)
    except Exception:
        return f"<{type(value).__name__}>"


def bounded_json(value: Any, most: int = MAX_REPORT_CHARS) -> Any:
    """A plain value, or the beginning of its JSON as `{truncated}` when that has more than `most` characters."""
    shown = plain_json(value)
    text = to_json(shown)
    return shown if len(text) <= most else {"truncated": text[:most]}


def tool_calls(messages: list[BaseMessage]) -> list[dict[str, Any]]:
    """The tools called in these messages, each once: `{id, name, args, status}`, and `result` once there is one.

    `status` is `called`, `done` or `failed`.
    """
    results = {message.tool_call_id: message for message in messages if isinstance(message, ToolMessage)}
    tools: dict[Any, dict[str, Any]] = {}
    for message in messages:
        # langgraph-supervisor writes the return of a handoff as a call; nobody has made it.
        made = isinstance(message, AIMessage) and "__is_handoff_back" not in message.response_metadata
        for call in message.tool_calls if isinstance(message, AIMessage) and made else ():
            tool = {"id": call["id"], "name": call["name"], "args": bounded_json(call["args"]), "status": "called"}
            result = results.get(call["id"] or "")
            tools.setdefault(call["id"] or len(tools), tool if result is None else tool | tool_outcome(result))
    return list(tools.values())[-MAX_TOOLS:]


def tool_outcome(message: ToolMessage) -> dict[str, Any]:
    """How a tool call ended."""
    return {"status": "failed" if message.status == "error" else "done", "result": bounded_json(message.text)}


def _plain_json(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain_json(value.value, depth)
    if isinstance(value, str):
        return valid_unicode(str(value))
    if isinstance(value, int):
        return int(value) if value.bit_length() < 1000 else f"<a number of {value.bit_length()} bits>"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return f"<{len(value)} bytes>"
    if isinstance(value, BaseMessage):
        return {"role": value.type, "text": valid_unicode(str(value.text))}
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): plain_json(item, depth) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_json(item, depth) for item in value]
    if isinstance(value, Iterator):
        return [plain_json(item, depth) for item in islice(value, MAX_ITEMS)]
    shown = _ANYTHING.dump_python(value, mode="json", fallback=str, warnings=False)
    return valid_unicode(shown) if isinstance(shown, str) else plain_json(shown, depth)


def _key(key: Any) -> str:
    try:
        return valid_unicode(str(key))
    except Exception:
        return f"<{type(key).__name__}>"

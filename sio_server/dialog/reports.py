"""What a graph reports, as devices may see it: plain JSON of a bounded size."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from pydantic import TypeAdapter

from sio_server.conversation.log import to_json

MAX_REPORT_CHARS = 4096  # of JSON; what is longer is cut and marked
MAX_TOOLS = 50  # tool calls named in an answer
_ANYTHING = TypeAdapter[Any](Any)


def plain(value: Any) -> Any:
    """A value as plain JSON: messages by role and text, objects by their fields, the rest by its text."""
    return _ANYTHING.dump_python(_reduced(value), mode="json", fallback=str, warnings=False)


def bounded(value: Any) -> Any:
    """A plain value, or the beginning of its JSON as `{truncated}` when it is too long."""
    shown = plain(value)
    text = to_json(shown)
    return shown if len(text) <= MAX_REPORT_CHARS else {"truncated": text[:MAX_REPORT_CHARS]}


def tool_calls(messages: list[BaseMessage]) -> list[dict[str, Any]]:
    """The tools called in some messages: `{id, name, args, status}`, and `result` when it is there.

    `status` is `called`, `done` or `failed`.
    """
    results = {message.tool_call_id: message for message in messages if isinstance(message, ToolMessage)}
    tools = []
    for message in messages:
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            tool = {"id": call["id"], "name": call["name"], "args": bounded(call["args"]), "status": "called"}
            result = results.get(call["id"] or "")
            tools.append(tool if result is None else tool | outcome(result))
    return tools[-MAX_TOOLS:]


def outcome(message: ToolMessage) -> dict[str, Any]:
    """How a tool call ended."""
    return {"status": "failed" if message.status == "error" else "done", "result": bounded(message.text)}


def _reduced(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return {"role": value.type, "text": value.text}
    if isinstance(value, dict):
        return {str(key): _reduced(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_reduced(item) for item in value]
    return value

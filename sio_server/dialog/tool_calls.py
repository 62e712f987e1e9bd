"""Tool calls that nobody has answered: a model's provider refuses a history with one, in every later turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

CANCELLED = (
    "This tool call was cancelled before its result was known. It may or may not have taken effect: "
    "do not rely on either, and check before you repeat it."
)


def with_answers(messages: Sequence[Any]) -> list[Any] | None:
    """The messages with an error for each call that has no result, right after its message; None if all have one.

    A result counts wherever it stands: only what is missing is added. Ids of what is added are made of the
    calls', so that each attempt makes the same.
    """
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    missing = [
        (place, error)
        for place, message in enumerate(messages)
        if isinstance(message, AIMessage)
        for error in _errors(message, answered)
    ]
    if not missing:
        return None
    repaired: list[Any] = []
    errors: dict[int, list[ToolMessage]] = {}
    for place, error in missing:
        errors.setdefault(_after_results(messages, place), []).append(error)
    for place, message in enumerate(messages):
        repaired += errors.get(place, [])
        repaired.append(message)
    return [*repaired, *errors.get(len(messages), [])]


def _errors(message: AIMessage, answered: set[str]) -> Iterator[ToolMessage]:
    for call in (*message.tool_calls, *message.invalid_tool_calls):
        call_id = call["id"]
        if call_id and call_id not in answered:
            answered.add(call_id)
            name = call["name"] or None
            yield ToolMessage(
                CANCELLED, tool_call_id=call_id, name=name, status="error", id=f"cancelled:{message.id}:{call_id}"
            )


def _after_results(messages: Sequence[BaseMessage], place: int) -> int:
    """Where the results that directly follow a message end."""
    place += 1
    while place < len(messages) and isinstance(messages[place], ToolMessage):
        place += 1
    return place

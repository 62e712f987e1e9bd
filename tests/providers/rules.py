"""What providers refuse with status 400, as a function of the request's body: the rules that histories break.

Each returns the provider's message, and the parameter that it names, or None. The texts are the providers' own.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby
from typing import Any, NamedTuple

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
SPEAKER = re.compile(r"[^\s<|\\/>]{1,64}")
OPENAI_ROLES = ("system", "developer", "user", "assistant", "tool")
SIGNATURE = "signed-by-the-model"  # of the thinking that the Anthropic server sends; it is to come back as it was


class Problem(NamedTuple):
    """Why a request is refused."""

    message: str
    param: str | None = None


# --- OpenAI, chat completions


def openai_problem(body: dict[str, Any]) -> Problem | None:
    """What OpenAI refuses in a request for a chat completion."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return Problem("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages")
    for number, message in enumerate(messages):
        if problem := _openai_message_problem(message, f"messages[{number}]"):
            return problem
    for tool in body.get("tools") or []:
        name = tool.get("function", {}).get("name", "")
        if not NAME.fullmatch(name):
            return Problem(f"Invalid 'tools[].function.name': {name!r} does not match pattern.", "tools")
    return _openai_call_problem(messages)


def _openai_message_problem(message: dict[str, Any], where: str) -> Problem | None:
    role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    if role not in OPENAI_ROLES:
        supported = ", ".join(repr(name) for name in OPENAI_ROLES)
        return Problem(f"Invalid value: {role!r}. Supported values are: {supported}.", f"{where}.role")
    if "name" in message and not SPEAKER.fullmatch(str(message["name"])):
        return Problem(f"Invalid '{where}.name': string does not match pattern.", f"{where}.name")
    if content is None and not (role == "assistant" and (calls or message.get("refusal"))):
        return Problem(f"Invalid value for 'content': expected a string, got null. ({where})", f"{where}.content")
    if isinstance(content, list):
        allowed = {"user": ("text", "image_url", "input_audio", "file"), "assistant": ("text", "refusal")}
        for block in content:
            if block.get("type") not in allowed.get(role, ("text",)):
                return Problem(f"Invalid value: {block.get('type')!r}. ({where}.content)", f"{where}.content")
    if calls is not None and (role != "assistant" or not calls):
        return Problem(f"Invalid '{where}.tool_calls': empty array.", f"{where}.tool_calls")
    for call in calls or []:
        function = call.get("function", {})
        if not NAME.fullmatch(str(function.get("name", ""))) or not isinstance(function.get("arguments"), str):
            return Problem(f"Invalid '{where}.tool_calls[].function'.", f"{where}.tool_calls")
    return None


def _openai_call_problem(messages: list[dict[str, Any]]) -> Problem | None:
    """Each call is answered by a tool's message directly after it, once, and no other tool's message is there."""
    waiting: list[str] = []
    asked_at = 0
    for number, message in enumerate([*messages, {"role": "end"}]):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                return Problem(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    "with 'tool_calls'.",
                    f"messages.[{number}].role",
                )
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            return Problem(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. The following tool_call_ids did not have response messages: "
                f"{', '.join(waiting)}",
                f"messages.[{asked_at}].role",
            )
        waiting = [call["id"] for call in message.get("tool_calls") or []]
        asked_at = number
    return None


# --- Anthropic, messages


def anthropic_problem(body: dict[str, Any]) -> Problem | None:
    """What Anthropic refuses in a request for a message."""
    messages = body.get("messages")
    if not isinstance(body.get("max_tokens"), int):
        return Problem("max_tokens: Field required")
    if not isinstance(messages, list) or not messages:
        return Problem("messages: at least one message is required")
    for number, message in enumerate(messages):
        if message.get("role") not in ("user", "assistant"):
            return Problem(f'messages: Unexpected role "{message.get("role")}".')
        if not message.get("content") and not (message["role"] == "assistant" and number == len(messages) - 1):
            return Problem(
                f"messages.{number}: all messages must have non-empty content except for the optional final "
                "assistant message"
            )
    if messages[0]["role"] != "user":
        return Problem('messages: first message must use the "user" role')
    turns = [
        (role, [block for message in group for block in _blocks(message)])
        for role, group in groupby(messages, key=lambda message: str(message["role"]))
    ]
    for number, (role, blocks) in enumerate(turns):
        if problem := _anthropic_block_problem(role, blocks, number):
            return problem
    return _anthropic_call_problem(turns) or _anthropic_thinking_problem(body, turns)


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _anthropic_block_problem(role: str, blocks: list[dict[str, Any]], number: int) -> Problem | None:
    allowed = {
        "user": ("text", "image", "document", "search_result", "tool_result"),
        "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
    }[role]
    for index, block in enumerate(blocks):
        where = f"messages.{number}.content.{index}"
        if block.get("type") not in allowed:
            return Problem(
                f"{where}: Input tag '{block.get('type')}' found does not match any of the expected tags"
            )
        if block["type"] == "text" and not str(block.get("text", "")).strip():
            return Problem("messages: text content blocks must contain non-whitespace text")
        if block["type"] == "tool_use" and not re.fullmatch("[a-zA-Z0-9_-]+", str(block.get("id"))):
            return Problem(f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if block["type"] == "tool_use" and not isinstance(block.get("input"), dict):
            return Problem(f"{where}.tool_use.input: Input should be a valid dictionary")
        if block["type"] == "thinking" and block.get("signature") != SIGNATURE:
            return Problem(f"{where}: Invalid `signature` in `thinking` block")
    return None


def _anthropic_call_problem(turns: list[tuple[str, list[dict[str, Any]]]]) -> Problem | None:
    """Each call has one result, at the head of the next turn, which is the user's."""
    ids = [block["id"] for _, blocks in turns for block in blocks if block["type"] == "tool_use"]
    if len(set(ids)) < len(ids):
        return Problem("messages: `tool_use` ids must be unique")
    asked: list[str] = []
    for number, (role, blocks) in enumerate(turns):
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if missing := [call for call in asked if call not in results]:
            return _without_result(number - 1, missing)
        for call, count in Counter(results).items():
            if call not in asked:
                return Problem(
                    f"messages.{number}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{call}. Each `tool_result` block must have a corresponding `tool_use` block in the previous "
                    "message."
                )
            if count > 1:
                return Problem(
                    f"messages.{number}: each tool_use must have a single result. Found multiple `tool_result` "
                    f"blocks with id: {call}"
                )
        if any(block["type"] != "tool_result" for block in blocks[: len(results)]) and results:
            return _without_result(number - 1, asked)  # the result is there, but not at the head
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"] if role == "assistant" else []
    return _without_result(len(turns) - 1, asked) if asked else None


def _without_result(number: int, calls: list[str]) -> Problem:
    return Problem(
        f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(calls)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message."
    )


def _anthropic_thinking_problem(
    body: dict[str, Any], turns: list[tuple[str, list[dict[str, Any]]]]
) -> Problem | None:
    """A turn that goes on after a tool begins with the thinking that led to the call."""
    if (body.get("thinking") or {}).get("type") != "enabled" or len(turns) < 2:
        return None
    (_, asked), (_, answered) = turns[-2:]
    goes_on = any(block["type"] == "tool_result" for block in answered)
    if goes_on and asked[0]["type"] not in ("thinking", "redacted_thinking"):
        return Problem(
            f"messages.{len(turns) - 2}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{asked[0]['type']}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block."
        )
    return None

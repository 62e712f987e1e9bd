"""OpenAI's chat completions: what a request shows of the dialog, and replies, streamed or whole."""

from __future__ import annotations

import json
import uuid
from typing import Any

from aiohttp import web

from tests.providers.holds import Holds
from tests.providers.rules import Problem
from tests.providers.script import Call, Part, Seen, agents_of


def seen(body: dict[str, Any]) -> Seen:
    """What a request shows of the dialog."""
    found = Seen(set(), "")
    schema = (body.get("response_format") or {}).get("json_schema")
    if schema:
        found.agents.add(schema["name"])
    names: dict[str, str] = {}
    for message in body["messages"]:
        if message["role"] in ("system", "developer"):
            found.agents |= agents_of(_text(message["content"]))
        elif message["role"] == "user":
            found.text = _text(message["content"])
            found.calls.clear()
        elif message["role"] == "tool":
            found.results[names[message["tool_call_id"]]] = _text(message["content"])
        for call in message.get("tool_calls") or []:
            names[call["id"]] = call["function"]["name"]
            found.calls.append(Call(call["function"]["name"], json.loads(call["function"]["arguments"])))
    return found


async def answer(
    request: web.Request, body: dict[str, Any], parts: list[Part], holds: Holds
) -> web.StreamResponse:
    """Play the parts."""
    deltas = _deltas(parts, holds)
    finish = "tool_calls" if any(part.call for part in parts) else "stop"
    head = {"id": f"chatcmpl-{uuid.uuid4().hex[:12]}", "created": 0, "model": body["model"]}
    if not body.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": None}
        async for delta in deltas:
            for name, value in delta.items():
                if name == "tool_calls":
                    message.setdefault(name, []).extend(value)
                else:
                    message[name] = (message.get(name) or "") + value
        choice = {"index": 0, "message": message, "finish_reason": finish}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)

    async def send(delta: dict[str, Any], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        chunk = {**head, "object": "chat.completion.chunk", "choices": [choice]}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())

    await send({"role": "assistant", "content": ""})
    async for delta in deltas:
        await send(delta)
    await send({}, finish)
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def refusal(problem: Problem, status: int = 400) -> web.Response:
    """The error as OpenAI writes it."""
    error = {"message": problem.message, "type": "invalid_request_error", "param": problem.param, "code": None}
    return web.json_response({"error": error}, status=status)


async def _deltas(parts: list[Part], holds: Holds) -> Any:
    calls = 0
    for part in parts:
        if part.call:
            function = {"name": part.call.name, "arguments": json.dumps(part.call.args)}
            call_id = f"call_{uuid.uuid4().hex[:20]}"
            yield {"tool_calls": [{"index": calls, "id": call_id, "type": "function", "function": function}]}
            calls += 1
        elif part.verb == "json":
            yield {"content": part.text}
        elif part.verb != "think":  # which chat completions do not show
            async for word in holds.words(part.text):
                yield {"refusal" if part.verb == "refuse" else "content": word}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text", "") for block in content or [])

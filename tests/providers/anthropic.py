"""Anthropic's messages: what a request shows of the dialog, and replies, streamed or whole."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from tests.providers.holds import Holds
from tests.providers.rules import SIGNATURE, Problem
from tests.providers.script import Call, Part, Seen, agents_of


def seen(body: dict[str, Any]) -> Seen:
    """What a request shows of the dialog."""
    found = Seen(agents_of(_text(body.get("system") or "")), "")
    names: dict[str, str] = {}
    for message in body["messages"]:
        content = message["content"]
        blocks: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            if block["type"] == "text" and message["role"] == "user":
                found.text = block["text"]
                found.calls.clear()
            elif block["type"] == "tool_use":
                names[block["id"]] = block["name"]
                found.calls.append(Call(block["name"], block["input"]))
            elif block["type"] == "tool_result":
                found.results[names[block["tool_use_id"]]] = _text(block.get("content") or "")
    return found


async def answer(
    request: web.Request, body: dict[str, Any], parts: list[Part], holds: Holds
) -> web.StreamResponse:
    """Play the parts."""
    reason = "tool_use" if any(part.call for part in parts) else "end_turn"
    if any(part.verb == "refuse" for part in parts):
        reason = "refusal"
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {
        "id": f"msg_{uuid.uuid4().hex[:20]}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    if not body.get("stream"):
        content = [await _whole(part, holds) for part in parts]
        return web.json_response({**message, "content": content, "stop_reason": reason})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)

    async def send(kind: str, **fields: Any) -> None:
        await response.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode())

    await send("message_start", message=message)
    for index, part in enumerate(parts):
        await send("content_block_start", index=index, content_block=_begun(part))
        async for delta in _deltas(part, holds):
            await send("content_block_delta", index=index, delta=delta)
        await send("content_block_stop", index=index)
    await send("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 1})
    await send("message_stop")
    await response.write_eof()
    return response


def refusal(problem: Problem, status: int = 400) -> web.Response:
    """The error as Anthropic writes it."""
    error = {"type": "invalid_request_error", "message": problem.message}
    return web.json_response({"type": "error", "error": error, "request_id": "req_scripted"}, status=status)


def _begun(part: Part) -> dict[str, Any]:
    if part.call:
        call_id = f"toolu_{uuid.uuid4().hex[:20]}"
        return {"type": "tool_use", "id": call_id, "name": part.call.name, "input": {}}
    if part.verb == "think":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


async def _deltas(part: Part, holds: Holds) -> AsyncIterator[dict[str, Any]]:
    if part.call:
        written = json.dumps(part.call.args)
        half = len(written) // 2
        for piece in (written[:half], written[half:]):
            yield {"type": "input_json_delta", "partial_json": piece}
        return
    async for word in holds.words(part.text):
        if part.verb == "think":
            yield {"type": "thinking_delta", "thinking": word}
        else:
            yield {"type": "text_delta", "text": word}
    if part.verb == "think":
        yield {"type": "signature_delta", "signature": SIGNATURE}
    if part.url:
        yield {"type": "citations_delta", "citation": _citation(part)}


async def _whole(part: Part, holds: Holds) -> dict[str, Any]:
    block = _begun(part)
    if part.call:
        return {**block, "input": part.call.args}
    text = "".join([word async for word in holds.words(part.text)])
    if part.verb == "think":
        return {**block, "thinking": text, "signature": SIGNATURE}
    return {**block, "text": text, "citations": [_citation(part)] if part.url else None}


def _citation(part: Part) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "url": part.url,
        "title": "Where it is from",
        "cited_text": part.text,
        "encrypted_index": "scripted",
    }


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text", "") for block in content)

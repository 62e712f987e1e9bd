"""Chat models that play a script in the process, and refuse what OpenAI's and Anthropic's servers refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr


class ProviderRefused(Exception):
    """The history breaks the rules of the providers."""


def check_tool_calls(messages: Sequence[BaseMessage]) -> None:
    """Each call is answered directly after its message, each result has its call there. Raises ProviderRefused."""
    place = 0
    while place < len(messages):
        message = messages[place]
        place += 1
        if isinstance(message, ToolMessage):
            raise ProviderRefused(f"a result without its call: {message.tool_call_id}")
        if isinstance(message, AIMessage):
            open_calls = {call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)}
            while open_calls and place < len(messages):
                result = messages[place]
                if not isinstance(result, ToolMessage) or result.tool_call_id not in open_calls:
                    break
                open_calls.discard(result.tool_call_id)
                place += 1
            if open_calls:
                raise ProviderRefused(f"calls without a result: {open_calls}")


class Scripted(BaseChatModel):
    """Says its replies in turn, in pieces; a reply may be a text, a message, a list of chunks or an error."""

    replies: list[Any]
    streams: bool = True
    ids: str = "one"  # of chunks: `one` for all, `each` its own, or `none`
    asked: list[list[BaseMessage]] = []
    _turn: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Its script knows which tools there are."""
        return self.bind(**kwargs) if kwargs else self

    def _next(self, messages: list[BaseMessage]) -> Any:
        check_tool_calls(messages)
        self.asked.append(list(messages))
        reply = self.replies[self._turn % len(self.replies)]
        self._turn += 1
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        reply = self._next(messages)
        if isinstance(reply, list):
            whole = reply[0]
            for chunk in reply[1:]:
                whole = whole + chunk
            reply = AIMessage(whole.content)
        message = AIMessage(reply) if isinstance(reply, str) else reply.model_copy()
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _chunks(self, messages: list[BaseMessage]) -> Iterator[ChatGenerationChunk]:
        reply = self._next(messages)
        turn = self._turn
        if isinstance(reply, str):
            reply = [AIMessageChunk(content=reply[at : at + 3]) for at in range(0, len(reply), 3)]
        elif isinstance(reply, AIMessage) and not isinstance(reply, AIMessageChunk):
            calls: list[Any] = [
                {
                    "name": call["name"],
                    "args": json.dumps(call["args"]),
                    "id": call["id"],
                    "index": n,
                }
                for n, call in enumerate(reply.tool_calls)
            ]
            reply = [
                AIMessageChunk(
                    content=reply.content,
                    tool_call_chunks=calls,
                    additional_kwargs=reply.additional_kwargs,
                    response_metadata=reply.response_metadata,
                )
            ]
        for number, chunk in enumerate(reply):
            if isinstance(chunk, Exception):
                raise chunk
            chunk = chunk.model_copy()
            chunk.id = {"one": f"msg-{id(self)}-{turn}", "each": f"c-{id(self)}-{turn}-{number}", "none": None}[
                self.ids
            ]
            yield ChatGenerationChunk(message=chunk)

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages):
            if run_manager:
                run_manager.on_llm_new_token(chunk.message.content, chunk=chunk)
            yield chunk

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages):
            await asyncio.sleep(0)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.message.content, chunk=chunk)
            yield chunk

    def _should_stream(self, **kwargs: Any) -> bool:
        return self.streams and super()._should_stream(**kwargs)


def calls(*names: str, text: str = "", args: dict[str, Any] | None = None, tag: str = "") -> AIMessage:
    """A message with calls of these tools."""
    return AIMessage(
        text,
        tool_calls=[
            {"name": name, "args": args or {}, "id": f"call-{tag}{name}-{n}"} for n, name in enumerate(names)
        ],
    )

"""A chat model behind HTTP that plays a script, and breaks when told to.

It speaks OpenAI's chat completions and, in texts only, Ollama's. `async with ModelServer() as server:` listens
on a free port of this machine; give its `url` to a client as OPENAI_BASE_URL, or its `ollama_url` as
OLLAMA_HOST. `server.plays(says("Hello"), stalls("I am"))` is the script, one part for each request; what was
asked is in `server.requests`. A request without a part gets a 500, which no test expects, and one that breaks
OpenAI's rules (an unanswered tool call, a result without its call) the 400 that OpenAI gives it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from tests.providers import openai
from tests.providers.rules import openai_problem

Part = Callable[[web.Request, "Stream"], Awaitable[None]]


class Refused(Exception):
    """The server answers with a status instead of a stream."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Stream:
    """The reply to one request, as server-sent events."""

    content_type = "text/event-stream"

    def __init__(self, request: web.Request, number: int) -> None:
        self._request = request
        self.id = f"chatcmpl-{number}"
        self._response: web.StreamResponse | None = None

    async def send(self, delta: dict[str, Any], finish_reason: str | None = None) -> None:
        """One chunk."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        chunk = {"id": self.id, "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
        await self.line(json.dumps({**chunk, "choices": [choice]}))

    async def line(self, data: str) -> None:
        """One event."""
        await self.write(f"data: {data}\n\n")

    async def keep_alive(self) -> None:
        """A comment, which no client shows; some proxies send them while a model is silent."""
        await self.write(": keep-alive\n\n")

    async def say(self, text: str) -> None:
        """A text, a word in each chunk."""
        for word in re.findall(r"\S+\s*|\s+", text):
            await self.send({"content": word})

    async def write(self, text: str) -> None:
        """Some of the body."""
        if self._response is None:
            self._response = web.StreamResponse(headers={"Content-Type": self.content_type})
            self._response.force_close()  # no client keeps a connection beyond its test
            await self._response.prepare(self._request)
        await self._response.write(text.encode())

    async def end(self) -> web.StreamResponse:
        """The end of the body, which need not be the end of the answer."""
        if self._response is None:
            await self.write("")
        assert self._response is not None
        await self._response.write_eof()
        return self._response


class OllamaStream(Stream):
    """The reply to one request, as lines of JSON."""

    content_type = "application/x-ndjson"

    async def send(self, delta: dict[str, Any], finish_reason: str | None = None) -> None:
        message = {"role": "assistant", "content": delta.get("content", "")}
        done = {"done": True, "done_reason": finish_reason} if finish_reason else {"done": False}
        chunk = {"model": "scripted", "created_at": "2024-01-01T00:00:00Z", "message": message}
        await self.write(json.dumps({**chunk, **done}) + "\n")

    async def line(self, data: str) -> None:
        """Nothing: the end of an answer has been said by its last chunk."""


def says(text: str) -> Part:
    """An answer, word by word."""

    async def play(request: web.Request, stream: Stream) -> None:
        await stream.say(text)
        await stream.send({}, "stop")
        await stream.line("[DONE]")

    return play


def calls(*tools: tuple[str, dict[str, Any] | str], text: str = "") -> Part:
    """Calls of tools, each `(name, arguments)`; the arguments come in two halves, as models send them.

    A string in the place of the arguments is sent as it is, which need not be JSON.
    """

    async def play(request: web.Request, stream: Stream) -> None:
        await stream.say(text)
        for index, (name, arguments) in enumerate(tools):
            written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            half = len(written) // 2
            call_id = f"{stream.id}-call-{index}"
            function = {"name": name, "arguments": written[:half]}
            begun = {"index": index, "id": call_id, "type": "function", "function": function}
            await stream.send({"tool_calls": [begun]})
            await stream.send({"tool_calls": [{"index": index, "function": {"arguments": written[half:]}}]})
        await stream.send({}, "tool_calls")
        await stream.line("[DONE]")

    return play


def stalls(text: str = "", keep_alive: float = 0) -> Part:
    """The beginning of an answer, then silence; with `keep_alive` a comment comes each so many seconds."""

    async def play(request: web.Request, stream: Stream) -> None:
        await stream.say(text)
        while True:
            await asyncio.sleep(keep_alive or 3600)
            await stream.keep_alive()

    return play


def cuts(text: str = "") -> Part:
    """The beginning of an answer, then the connection is gone."""

    async def play(request: web.Request, stream: Stream) -> None:
        await stream.say(text)
        assert request.transport is not None
        request.transport.close()
        await asyncio.sleep(3600)  # until aiohttp ends the request that has no connection any more

    return play


def breaks_off(text: str = "") -> Part:
    """The beginning of an answer in a body that ends as it should, as behind a proxy that lost the model."""

    async def play(request: web.Request, stream: Stream) -> None:
        await stream.say(text)

    return play


def refuses(status: int, message: str = "no") -> Part:
    """A status instead of an answer."""

    async def play(request: web.Request, stream: Stream) -> None:
        raise Refused(status, message)

    return play


class ModelServer:
    """The server; one script, played in the order of the requests."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.hung_up = asyncio.Event()  # a client has left before the end of its answer
        self.url = self.ollama_url = ""
        self._script: deque[Part] = deque()
        self._numbers = itertools.count(1)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/api/chat", self._complete)
        # A client that leaves ends its request, as on a real server, and so does the end of the test.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)

    async def __aenter__(self) -> ModelServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.ollama_url = f"http://{host}:{port}"
        self.url = f"{self.ollama_url}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def plays(self, *parts: Part) -> None:
        """Add to the script."""
        self._script.extend(parts)

    @property
    def left(self) -> int:
        """How many parts of the script nobody has asked for yet."""
        return len(self._script)

    def messages(self, request: int = -1) -> list[dict[str, Any]]:
        """The messages of a request, without the system's."""
        return [item for item in self.requests[request]["messages"] if item["role"] != "system"]

    def roles(self, request: int = -1) -> Sequence[str]:
        """Who speaks in a request, in order."""
        return [item["role"] for item in self.messages(request)]

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        if request.path != "/api/chat" and (problem := openai_problem(self.requests[-1])):
            return openai.refusal(problem)
        if not self._script:
            return _refusal(500, "the script has no part for this request")
        kind = OllamaStream if request.path == "/api/chat" else Stream
        stream = kind(request, next(self._numbers))
        try:
            await self._script.popleft()(request, stream)
            return await stream.end()
        except Refused as exc:
            return _refusal(exc.status, str(exc))
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "scripted", "code": None}}, status=status)

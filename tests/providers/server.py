"""A server with the models of both providers, which play the script that the person's message is.

`async with Providers() as models:` listens on a free port of this machine; `models.environment` leads the
clients of LangChain there. It keeps nothing of a dialog, so a request that is made again after the death of a node
is answered the same. What breaks the provider's rules is refused with 400 as the provider does, and stays in
`refused`.
"""

from __future__ import annotations

import asyncio
import json
from types import ModuleType
from typing import Any

from aiohttp import web

from tests.providers import anthropic, openai
from tests.providers.holds import Holds
from tests.providers.rules import Problem, anthropic_problem, openai_problem
from tests.providers.script import reply


class Providers(Holds):
    """The server."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[dict[str, Any]] = []
        self.refused: list[Problem] = []
        self.environment: dict[str, str] = {}
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/v1/messages", self._anthropic)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)

    async def __aenter__(self) -> Providers:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.environment = {
            "OPENAI_BASE_URL": f"http://{host}:{port}/v1",
            "OPENAI_API_KEY": "a-key-of-these-tests",
            "ANTHROPIC_BASE_URL": f"http://{host}:{port}",
            "ANTHROPIC_API_KEY": "a-key-of-these-tests",
            "NO_PROXY": "127.0.0.1",
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return await self._answer(openai, request, body, openai_problem(body))

    async def _anthropic(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return await self._answer(anthropic, request, body, anthropic_problem(body))

    async def _answer(
        self, provider: ModuleType, request: web.Request, body: dict[str, Any], problem: Problem | None
    ) -> web.StreamResponse:
        self.requests.append(body)
        if problem is not None:
            self.refused.append(problem)
            return provider.refusal(problem)
        try:
            parts = reply(provider.seen(body))
        except json.JSONDecodeError as exc:
            return provider.refusal(Problem(f"the script of this test is wrong: {exc}"), 500)
        try:
            return await provider.answer(request, body, parts, self)
        except (asyncio.CancelledError, ConnectionError):
            raise asyncio.CancelledError from None  # the client has hung up

"""The routes of the API: which service asks, within its limits, for what; and the answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson
from aiohttp import hdrs, web
from pydantic import TypeAdapter, ValidationError

from sio_server.gateway.api.endpoints import PARAMETERS, Call, Endpoint, Endpoints, new_key
from sio_server.gateway.api.event_stream import EventStreams
from sio_server.gateway.api.models import Body, Query
from sio_server.gateway.api.openapi import EVENTS_PATH, describe
from sio_server.gateway.api.service_keys import Service, ServiceKeys
from sio_server.gateway.http.errors import status_of
from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions.limits import Limits
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError
from sio_server.protocol.events import ID_PATTERN, PATTERNS_IN_WORDS
from sio_server.protocol.validation import explain
from sio_server.trace.recording import Trace

PATH = "/api/v1"
KEY_HEADER = "Idempotency-Key"
LEFT = 499  # in the metrics: the client has left before the answer

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiRoutes:
    """`/api/v1/*`. Without a service key there are no routes."""

    def __init__(
        self,
        keys: ServiceKeys,
        limits: Limits,
        address_limits: RequestLimits,
        groups: Iterable[Endpoints],
        streams: EventStreams,
        metrics: Metrics,
        trace: Trace,
        *,
        base_path: str = "",
    ) -> None:
        self._keys = keys
        self._limits = limits
        self._address_limits = address_limits
        self._streams = streams
        self._metrics = metrics
        self._trace = trace
        self._endpoints = [endpoint for group in groups for endpoint in group.endpoints()]
        self._description = orjson.dumps(describe(self._endpoints, base_path + PATH))

    def routes(self) -> list[web.RouteDef]:
        """The routes, that of the description included, which needs no key."""
        if not self._keys:
            return []
        served = [web.route(one.method, PATH + one.path, self._serve(one)) for one in self._endpoints]
        return [
            web.get(f"{PATH}/openapi.json", self._describe),
            web.get(PATH + EVENTS_PATH, self._stream, allow_head=False),
            *served,
        ]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        service = self.authenticate(request)
        conversation_id = _parameter("conversation_id", request.match_info["conversation_id"])
        return await self._streams.serve(request, service, conversation_id)

    async def _describe(self, request: web.Request) -> web.Response:
        return web.Response(body=self._description, content_type="application/json")

    def _serve(self, endpoint: Endpoint) -> _Handler:
        async def serve(request: web.Request) -> web.StreamResponse:
            began, status = time.monotonic(), 500
            try:
                with self._trace.called_by(request.headers.get("traceparent", ""), endpoint.operation):
                    response = await self._answer(endpoint, request)
                status = response.status
                return response
            except RoomgraphError as exc:
                status = status_of(exc)
                raise
            except web.HTTPException as exc:
                status = exc.status
                raise
            except asyncio.CancelledError:
                status = LEFT
                raise
            finally:
                self._metrics.api_answered(endpoint.operation, status, time.monotonic() - began)

        return serve

    async def _answer(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        service = self.authenticate(request)
        call = await _read(endpoint, service, request)
        try:
            answer = await endpoint.handler(call, call.given)
        except ValidationError as exc:  # of the request of a client that carries it out
            raise explain(exc) from None
        return web.Response(body=orjson.dumps(answer), content_type="application/json", status=endpoint.status)

    def authenticate(self, request: web.Request) -> Service:
        """The service that asks. Raises Refused for a wrong key, which counts for its address, and RateLimited."""
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(ErrorCode.TOKEN_MISSING, "no key: send it as `Authorization: Bearer ...`")
        try:
            service = self._keys.check(key.strip())
        except Refused:
            self._address_limits.count(request)
            raise
        self._limits.spend_service(service.name)
        return service


async def _read(endpoint: Endpoint, service: Service, request: web.Request) -> Call:
    """What is asked. Raises Refused, which names the field."""
    path = {name: _parameter(name, text) for name, text in request.match_info.items()}
    key = request.headers.get(KEY_HEADER) or new_key()
    if not re.fullmatch(ID_PATTERN, key):
        raise Refused(ErrorCode.INVALID_PAYLOAD, f"{KEY_HEADER}: {PATTERNS_IN_WORDS[ID_PATTERN]}")
    return Call(endpoint.operation, service, path, await _given(endpoint.takes, request), key)


async def _given(takes: type[Body | Query], request: web.Request) -> Body | Query:
    try:
        if issubclass(takes, Body):
            return takes.model_validate_json(await request.read() or b"{}")
        asked: dict[str, Any] = {}
        for name, text in request.query.items():
            if name in asked:
                raise Refused(ErrorCode.INVALID_PAYLOAD, f"{name[:100]}: given twice")
            asked[name] = text
        return takes.model_validate(asked)
    except ValidationError as exc:
        raise explain(exc) from None


def _parameter(name: str, text: str) -> Any:
    adapter: TypeAdapter[Any] = PARAMETERS[name]
    try:
        return adapter.validate_python(text)
    except ValidationError as exc:
        refusal = explain(exc)
        raise Refused(refusal.code, f"{name}{refusal.message.removeprefix('the payload')}") from None

"""The description of the API as OpenAPI 3.1, made from the models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from sio_server.gateway.api.answers import ClusterStatus, Failure
from sio_server.gateway.api.endpoints import PARAMETERS, Endpoint
from sio_server.gateway.api.models import Body, Nothing
from sio_server.protocol.events import ID_PATTERN
from sio_server.protocol.schema import definitions_of

JSON = "application/json"
STATUS_PATH = "/status"  # served beside the others: operators ask for it as well
EVENTS_PATH = "/conversations/{conversation_id}/events"
EXPORT_PATHS = {
    "conversation_id": "/conversations/{conversation_id}/export",
    "user_id": "/users/{user_id}/export",
}
REFERENCE = "#/components/schemas/{model}"


def describe(endpoints: Iterable[Endpoint], path: str) -> dict[str, Any]:
    """The document; `path`: below which the endpoints are."""
    endpoints = list(endpoints)
    sent = [one.takes for one in endpoints if one.takes is not Nothing]
    models = list(dict.fromkeys([Failure, ClusterStatus, *sent, *(one.answers for one in endpoints)]))
    _, shared = models_json_schema([(model, "validation") for model in models], ref_template=REFERENCE)
    schemas = definitions_of(shared)
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    paths[STATUS_PATH] = {"get": _status()}
    paths[EVENTS_PATH] = {"get": _events()}
    for parameter, one in EXPORT_PATHS.items():
        paths[one] = {"get": _export(parameter)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Roomgraph: the API for backends",
            "version": version("roomgraph"),
            "description": "Conversations, messages and runs with a service key. docs/api.md explains it.",
        },
        "servers": [{"url": path}],
        "security": [{"service_key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"service_key": {"type": "http", "scheme": "bearer"}},
            "responses": {"Failure": _answer(Failure.__name__, "Nothing was done, or the outcome is unknown.")},
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": PARAMETERS[name].json_schema()}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    described: dict[str, Any] = {
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": {
            str(endpoint.status): _answer(endpoint.answers.__name__, "Done, or done before with this key."),
            "4XX": {"$ref": "#/components/responses/Failure"},
            "5XX": {"$ref": "#/components/responses/Failure"},
        },
    }
    if endpoint.changes:
        about = "The same key again with the same request gives the first answer, and changes nothing."
        header = {"name": "Idempotency-Key", "in": "header", "description": about}
        parameters.append({**header, "schema": {"type": "string", "pattern": ID_PATTERN}})
    if issubclass(endpoint.takes, Body):
        described["requestBody"] = {
            "required": bool(schemas[endpoint.takes.__name__].get("required")),
            "content": {JSON: {"schema": _reference(endpoint.takes.__name__)}},
        }
    elif endpoint.takes is not Nothing:
        query = schemas.pop(endpoint.takes.__name__)
        parameters += [
            {"name": name, "in": "query", "required": name in query.get("required", ()), "schema": _given(schema)}
            for name, schema in query["properties"].items()
        ]
    return described


def _status() -> dict[str, Any]:
    """The status, for which operators ask with their tokens as well."""
    return {
        "operationId": "read_status",
        "summary": "Read how the whole cluster is.",
        "responses": {
            "200": _answer(ClusterStatus.__name__, "Its health and figures, as docs/observability.md lists them."),
            "4XX": {"$ref": "#/components/responses/Failure"},
            "5XX": {"$ref": "#/components/responses/Failure"},
        },
    }


def _events() -> dict[str, Any]:
    """The stream of events, which is no answer in JSON."""
    about = "The id of the last event that was received: what was missed since is told first."
    last = {"name": "Last-Event-ID", "in": "header", "description": about, "schema": {"type": "string"}}
    where = {"name": "conversation_id", "in": "path", "required": True}
    told = "conversation:synced, entry:appended, run:changed and run:written, as docs/protocol.md describes them."
    return {
        "operationId": "stream_events",
        "summary": "Receive the events of a conversation, from now on or from `Last-Event-ID` on.",
        "parameters": [where | {"schema": PARAMETERS["conversation_id"].json_schema()}, last],
        "responses": {
            "200": {"description": told, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            "4XX": {"$ref": "#/components/responses/Failure"},
            "5XX": {"$ref": "#/components/responses/Failure"},
        },
    }


def _export(parameter: str) -> dict[str, Any]:
    """JSON Lines, which are no answer in JSON."""
    what = parameter.removesuffix("_id")
    about = "Objects with `kind`, one a line, as docs/data.md describes them; the last one has the kind `end`."
    return {
        "operationId": f"export_{what}",
        "summary": f"Export a {what} as JSON Lines.",
        "parameters": [
            {"name": parameter, "in": "path", "required": True, "schema": PARAMETERS[parameter].json_schema()}
        ],
        "responses": {
            "200": {"description": about, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}},
            "4XX": {"$ref": "#/components/responses/Failure"},
            "5XX": {"$ref": "#/components/responses/Failure"},
        },
    }


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a query's parameter, which is left out instead of null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if not kinds:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **kinds[0]}


def _answer(model: str, about: str) -> dict[str, Any]:
    return {"description": about, "content": {JSON: {"schema": _reference(model)}}}


def _reference(model: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model)}

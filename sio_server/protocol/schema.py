"""The JSON Schema of the protocol (docs/protocol.schema.json), made from the models of what is sent."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from sio_server.protocol.acks import ACKS, Refusal
from sio_server.protocol.entries import NUMBERED, LoggedEntry
from sio_server.protocol.events import PROTOCOL_VERSION, REQUESTS, HandshakeAuth, ServerEvent
from sio_server.protocol.sent import Sent
from sio_server.protocol.server_events import EVENTS

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


def schema_document() -> dict[str, Any]:
    """One document: `requests`, `acks` and `events` by name, each a reference or a schema over `$defs`.

    Requests are closed, since the server refuses unknown fields. What the server sends is open: clients ignore
    fields that they do not know.
    """
    models = [HandshakeAuth, LoggedEntry, Refusal, *REQUESTS.values(), *ACKS.values()]
    models += [model for name, model in EVENTS.items() if name != ServerEvent.ENTRY_APPENDED]
    unique = list(dict.fromkeys(models))
    refs, shared = models_json_schema([(model, "validation") for model in unique])
    definitions = definitions_of(shared)
    where = {model: refs[model, "validation"] for model in unique}
    where[EVENTS[ServerEvent.ENTRY_APPENDED]] = {"allOf": [where[LoggedEntry], NUMBERED]}
    return {
        "$schema": SCHEMA_ID,
        "title": f"The wire protocol of Roomgraph, version {PROTOCOL_VERSION}",
        "type": "object",
        "properties": {
            "handshake": where[HandshakeAuth],
            "requests": _table({str(name): where[model] for name, model in REQUESTS.items()}),
            "acks": _table({str(name): {"anyOf": [where[m], where[Refusal]]} for name, m in ACKS.items()}),
            "events": _table({str(name): where[model] for name, model in EVENTS.items()}),
        },
        "$defs": definitions,
    }


def _table(schemas: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": schemas, "additionalProperties": False}


def definitions_of(shared: dict[str, Any]) -> dict[str, Any]:
    """The schemas by the names of their models; what the server sends is open."""
    definitions = {name: _plain(schema) for name, schema in sorted(shared["$defs"].items())}
    for model in _all_sent(Sent):
        if model.__name__ in definitions:
            definitions[model.__name__].pop("additionalProperties", None)
    return definitions


def _plain(schema: Any) -> Any:
    """Without titles, which repeat the names, and without defaults of fields that are left out instead of null."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    shown = {
        key: _plain(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))
    }
    nullable = any(kind == {"type": "null"} for kind in shown.get("anyOf", ()))
    if "default" in shown and shown["default"] is None and not nullable:
        del shown["default"]
    return shown


def _all_sent(model: type[Any]) -> list[type[Any]]:
    return [model, *(found for child in model.__subclasses__() for found in _all_sent(child))]

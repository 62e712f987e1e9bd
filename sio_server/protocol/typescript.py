"""TypeScript declarations of the protocol (web/sdk/src/protocol.d.ts), made from its JSON Schema."""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_NAME = re.compile(r"^[A-Za-z_]\w*$")
HEAD = "// Made from docs/protocol.schema.json by scripts/schema: do not edit.\n"


def declarations(document: dict[str, Any]) -> str:
    """A type for each definition, and the tables `Requests`, `Acks` and `Events` by name.

    What may be left out of a request, since it has a default, is optional; so is what an answer may lack.
    """
    blocks = [HEAD]
    for name, schema in document["$defs"].items():
        text = f"export type {name} = {_type(schema)};\n"
        blocks.append(_comment(schema) + text)
    for name in ("requests", "acks", "events"):
        table = {"type": "object", **document["properties"][name]}
        table["required"] = list(table["properties"])
        blocks.append(f"export interface {name.capitalize()} {_type(table)}\n")
    return "\n".join(blocks)


def _comment(schema: dict[str, Any]) -> str:
    text = " ".join(schema.get("description", "").split())
    return f"/** {text} */\n" if text else ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " | ".join(dict.fromkeys(_type(kind) for kind in schema[union]))
    if "allOf" in schema:
        return " & ".join(_type(kind) for kind in schema["allOf"])
    kind = schema.get("type")
    if kind == "array":
        inner = _type(schema.get("items", {}))
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if kind == "object":
        return _object(schema)
    return _PLAIN.get(str(kind), "unknown")


def _object(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    properties: dict[str, Any] = schema.get("properties", {})
    if not properties:
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            return f"Record<string, {_type(extra)}>"
        return "Record<string, unknown>" if extra else "Record<string, never>"
    lines = []
    for name, inner in properties.items():
        key = name if _NAME.match(name) else json.dumps(name)
        lines.append(f"  {key}{'' if name in required else '?'}: {_type(inner)};")
    return "{\n" + "\n".join(lines) + "\n}"

"""How models of what the server sends are written: exact, and with fields that may be left out.

Tests check real traffic with these models, so that they refuse fields that they do not know. Clients must ignore
such fields, since a later server may add some: the published schema allows them.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue

T = TypeVar("T")


class Sent(BaseModel):
    """A JSON object that the server sends."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _is_not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("should be left out instead of null")
    return value


class _NotNull:
    """In the schema: never null."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        shown = handler(schema)
        kinds = [kind for kind in shown.get("anyOf", []) if kind != {"type": "null"}]
        return kinds[0] if len(kinds) == 1 else {**shown, "anyOf": kinds}


# `Maybe[int] = None`: an integer, or no such field.
Maybe = Annotated[T | None, BeforeValidator(_is_not_null), _NotNull()]

"""The context of a conversation: what a graph's `context_schema` asks for, checked and made."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any, NotRequired, Required, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from typing_extensions import is_typeddict

from sio_server.dialog.graphs.annotations import fields_of
from sio_server.protocol.errors import ErrorCode, Refused


class ContextMisfit(ValueError):
    """A context that its graph's schema does not take; `field` is '' for the whole."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


class ContextSchema:
    """The schema of a graph's context: a dataclass, a TypedDict or a pydantic model."""

    def __init__(self, schema: Any) -> None:
        """Raises TypeError for a schema by which nothing can be checked."""
        self._may_be_missing = False
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            self._fields = {name for name, item in schema.model_fields.items() if not item.alias}
            self._fields |= {item.alias for item in schema.model_fields.values() if item.alias}
            self._takes_any = schema.model_config.get("extra") == "allow"
            self._model: type[BaseModel] = schema
            self._finish: Callable[[BaseModel], Any] = lambda made: made
        elif isinstance(schema, type) and (dataclasses.is_dataclass(schema) or is_typeddict(schema)):
            required = _fields(schema)
            self._fields = set(required)
            self._takes_any = False
            self._may_be_missing = is_typeddict(schema)
            self._model = _model_of(schema, required)
            self._finish = lambda made: schema(**_given(made))
        else:
            raise TypeError(f"{schema!r} is no dataclass, TypedDict or pydantic model")

    def make(self, given: dict[str, Any] | None) -> Any:
        """The context as the graph gets it, defaults filled in. Raises ContextMisfit.

        A TypedDict has no defaults, and graphs that name one also work without: None misses none of its fields.
        """
        if given is None and self._may_be_missing:
            return {}
        unknown = [] if self._takes_any else sorted(set(given or ()) - self._fields)
        if unknown:
            known = ", ".join(sorted(self._fields)) or "none"
            raise ContextMisfit(unknown[0], f"there is no such field; there are: {known}")
        try:
            # As JSON, strictly: "5" is no number, and "2026-01-31" is a date.
            return self._finish(self._model.model_validate_json(json.dumps(given or {}), strict=True))
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            path = ".".join(str(part) for part in first["loc"])
            raise ContextMisfit(path, first["msg"].removeprefix("Value error, ")) from None
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as exc:  # of a __post_init__ or a validator, which may also exit
            raise ContextMisfit("", f"{type(exc).__name__}: {exc}") from None

    def check(self, given: dict[str, Any] | None) -> None:
        """Raise Refused with `invalid_payload` and the field's name for a context that does not fit."""
        try:
            self.make(given)
        except ContextMisfit as exc:
            where = f"context.{exc.field}" if exc.field else "context"
            raise Refused(ErrorCode.INVALID_PAYLOAD, f"{where}: {exc.problem}"[:500]) from None


def _fields(schema: Any) -> dict[str, bool]:
    """The fields that may be given, and whether each has to be."""
    if dataclasses.is_dataclass(schema):
        missing = dataclasses.MISSING
        return {
            item.name: item.default is missing and item.default_factory is missing
            for item in dataclasses.fields(schema)
            if item.init
        }
    hints = fields_of(schema)
    # Annotations that are texts hide NotRequired from TypedDict itself.
    return {
        name: get_origin(hint) is Required
        or (get_origin(hint) is not NotRequired and name in schema.__required_keys__)
        for name, hint in hints.items()
    }


def _model_of(schema: Any, required: dict[str, bool]) -> type[BaseModel]:
    """A model that checks these fields. The schema's own class makes the context, with its defaults.

    Types of the user's own, which no JSON can give, are allowed: such fields keep their defaults.
    """
    hints = fields_of(schema)
    fields: dict[str, Any] = {}
    for number, (name, has_to_be) in enumerate(required.items()):
        its_type = hints.get(name, Any)
        while get_origin(its_type) in (Required, NotRequired):
            its_type = get_args(its_type)[0]
        # By alias: a model has names of its own.
        fields[f"f{number}"] = (its_type, Field(alias=name) if has_to_be else Field(default=None, alias=name))
    try:
        return create_model("Context", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)
    except Exception as exc:
        raise TypeError(f"{type(exc).__name__}: {exc}") from None


def _given(made: BaseModel) -> dict[str, Any]:
    """The fields that were given, by the names of the schema."""
    fields = type(made).model_fields
    return {str(fields[name].alias): getattr(made, name) for name in made.model_fields_set}

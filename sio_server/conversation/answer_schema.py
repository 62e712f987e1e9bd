"""Whether an answer matches the JSON Schema that a graph asks with.

The schema is the graph's and the answer anybody's: nothing is fetched, no pattern is matched that could take
long, and the work is bounded. It may still take some tenths of a second: call it in a thread. What is not checked
here, the graph finds out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend
from pydantic import StringConstraints, TypeAdapter
from referencing import Registry

MAX_SCHEMA_BYTES = 65536
MAX_REFERENCES = 2000  # followed in one check
MAX_STEPS = 20_000  # keywords applied in one check
MAX_DEPTH = 60  # of keywords within keywords: values have few levels, and Python's stack ends far beyond
MAX_LEVELS = 40  # of JSON in a schema
MAX_ERRORS = 20  # of which the one to tell is chosen
MAX_WORDS = 200  # characters of what is told of a schema

_Check = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]
_UNCHECKED = ("patternProperties", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef")
_KEYWORDS: dict[str, _Check] = Draft202012Validator.VALIDATORS


class _TooMuch(Exception):
    """The check takes too many steps."""


def is_schema(schema: dict[str, Any]) -> bool:
    """Whether answers can be checked against this: a JSON Schema of a bounded size that refers to itself only."""
    # Before anything else: the library's own tables end a thread that runs out of stack in them.
    if _is_deeper(schema, MAX_LEVELS) or len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        return False
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return False
    return _refers_inside(schema)


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(item, levels - 1) for item in inner)


def misfit_of(schema: dict[str, Any], value: Any) -> tuple[str, str] | None:
    """Where a value does not match, `field.0.inner` or an empty string, and what is expected there; or None."""
    try:
        error = best_match(islice(_validator(schema).iter_errors(value), MAX_ERRORS))
    except Exception:  # too much work, a dangling reference, a number without bounds: the graph has to look at it
        return None
    if error is None:
        return None
    return ".".join(str(part)[:50] for part in error.absolute_path), _expected(error)[:MAX_WORDS]


def _expected(error: ValidationError) -> str:
    wanted = error.validator_value
    match error.validator:
        case "type":
            return f"should be of type {' or '.join(wanted) if isinstance(wanted, list) else wanted}"
        case "enum":
            return f"should be one of {', '.join(map(_plain, wanted))}"
        case "const":
            return f"should be {_plain(wanted)}"
        case "required":
            missing = [name for name in wanted if name not in error.instance]
            return f"should have {', '.join(missing)}"
        case "additionalProperties":
            return "should have no other fields than those of the schema"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" | "multipleOf" | "pattern":
            return f"should fit {error.validator} {_plain(wanted)}"
        case "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties":
            return f"should fit {error.validator} {_plain(wanted)}"
    return f"should fit {error.validator} of the schema"


def _validator(schema: dict[str, Any]) -> Any:
    references = steps = depth = 0

    def counted(check: _Check) -> _Check:
        def apply(validator: Any, wanted: Any, instance: Any, within: Any) -> Iterator[ValidationError]:
            nonlocal steps, depth
            steps, depth = steps + 1, depth + 1
            try:
                if steps > MAX_STEPS or depth > MAX_DEPTH:
                    raise _TooMuch
                yield from check(validator, wanted, instance, within) or ()
            finally:
                depth -= 1

        return apply

    def follow(validator: Any, reference: Any, instance: Any, within: Any) -> Iterator[ValidationError]:
        nonlocal references
        references += 1
        if references > MAX_REFERENCES:
            raise _TooMuch
        yield from _KEYWORDS["$ref"](validator, reference, instance, within) or ()

    checks = {**_KEYWORDS, **dict.fromkeys(_UNCHECKED, _nothing), "$ref": follow, "pattern": _pattern}
    checks |= {"additionalProperties": _additional, "uniqueItems": _unique}
    counting = {keyword: counted(check) for keyword, check in checks.items()}
    return extend(Draft202012Validator, counting)(schema, registry=Registry())


def _nothing(validator: Any, wanted: Any, instance: Any, within: Any) -> None:
    """A keyword that is left to the graph."""


def _additional(validator: Any, wanted: Any, instance: Any, within: Any) -> Iterator[ValidationError]:
    if "patternProperties" not in within:
        yield from _KEYWORDS["additionalProperties"](validator, wanted, instance, within) or ()


def _unique(validator: Any, wanted: Any, instance: Any, within: Any) -> Iterator[ValidationError]:
    """By their JSON, in linear time. So 1 and 1.0 are two items here."""
    if not wanted or not isinstance(instance, list):
        return
    if len({json.dumps(item, sort_keys=True) for item in instance}) < len(instance):
        yield ValidationError("has an item twice")


def _pattern(validator: Any, wanted: Any, instance: Any, within: Any) -> Iterator[ValidationError]:
    """By pydantic's engine, whose time is linear; a pattern that it does not know is left to the graph."""
    if not isinstance(instance, str):
        return
    text = _text_of(wanted)
    if text is None:
        return
    try:
        text.validate_python(instance)
    except ValueError:
        yield ValidationError("does not match")


@lru_cache(maxsize=64)
def _text_of(pattern: str) -> TypeAdapter[str] | None:
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    except Exception:
        return None


def _refers_inside(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(_refers_inside(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    reference = schema.get("$ref", "#")
    inside = not isinstance(reference, str) or reference.startswith("#")
    return inside and all(_refers_inside(item) for item in schema.values())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

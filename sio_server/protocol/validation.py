"""What is wrong with a payload, in words."""

from __future__ import annotations

from pydantic import ValidationError

from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import PATTERNS_IN_WORDS, TextTooLong
from sio_server.protocol.text import valid_unicode


def explain(error: ValidationError) -> Refused:
    """A refusal that names the field and what is wrong with it, without repeating what was sent."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"] if part != "[key]")[:100]
    where = valid_unicode(path) or "the payload"
    too_long = isinstance(first.get("ctx", {}).get("error"), TextTooLong)
    code = ErrorCode.PAYLOAD_TOO_LARGE if too_long else ErrorCode.INVALID_PAYLOAD
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "model_type":
        message = "should be one object"
    elif first["type"] == "string_pattern_mismatch":
        message = PATTERNS_IN_WORDS.get(first["ctx"]["pattern"], message)
    return Refused(code, f"{where}: {message}")

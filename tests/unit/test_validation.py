"""A refusal of a payload names the field and what is wrong with it, and never repeats what was sent."""

from typing import Any

import pytest
from pydantic import ValidationError

from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import MAX_TEXT_BYTES, REQUESTS, ClientEvent
from sio_server.protocol.validation import explain

IN_IT = {"request_id": "r", "conversation_id": "c"}


def refusal(event: ClientEvent, payload: Any) -> Refused:
    with pytest.raises(ValidationError) as caught:
        REQUESTS[event].model_validate(payload)
    return explain(caught.value)


@pytest.mark.parametrize(
    ("event", "payload", "start"),
    [
        (ClientEvent.HISTORY_READ, {}, "conversation_id: "),
        (ClientEvent.HISTORY_READ, {"conversation_id": "c", "colour": 1}, "colour: "),
        (ClientEvent.CONVERSATION_JOIN, IN_IT | {"position": {"epoch": "e"}}, "position.seq: "),
        (ClientEvent.CONVERSATION_INVITE, IN_IT | {"user_ids": ["a", 7]}, "user_ids.1: "),
        (ClientEvent.SESSION_SYNC, {"positions": {"c": {"epoch": "e", "seq": -1}}}, "positions.c.seq: "),
        (ClientEvent.SESSION_SYNC, {"positions": {"!": None}}, "positions.!: "),
    ],
)
def test_the_wrong_field_is_named_by_its_path(event: ClientEvent, payload: Any, start: str) -> None:
    error = refusal(event, payload)
    assert error.code == ErrorCode.INVALID_PAYLOAD
    assert error.message.startswith(start)
    assert len(error.message) > len(start)


@pytest.mark.parametrize("payload", [None, [], "text", 3])
def test_a_payload_that_is_no_object_says_so(payload: Any) -> None:
    assert refusal(ClientEvent.MESSAGE_SEND, payload).message == "the payload: should be one object"


def test_a_text_over_the_limit_has_a_code_of_its_own_and_names_the_limit() -> None:
    payload = {"conversation_id": "c", "request_id": "1", "text": "x" * (MAX_TEXT_BYTES + 1)}
    error = refusal(ClientEvent.MESSAGE_SEND, payload)
    assert error.code == ErrorCode.PAYLOAD_TOO_LARGE
    assert error.message == f"text: longer than {MAX_TEXT_BYTES} bytes of UTF-8"


def test_messages_of_our_own_checks_have_no_prefix() -> None:
    payload = IN_IT | {"text": "\ud83d"}
    message = refusal(ClientEvent.DRAFT_SAVE, payload).message
    assert message == "text: not valid Unicode: half of a surrogate pair"


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (ClientEvent.CONVERSATION_LEAVE, IN_IT | {"conversation_id": "!hunter2!"}),
        (ClientEvent.CONVERSATION_CREATE, {"request_id": "r", "title": "hunter2" * 100}),
        (ClientEvent.CONVERSATION_CREATE, {"request_id": "r", "access": "hunter2"}),
        (ClientEvent.MARKS_SET, {"marks": {"c": {"read": "hunter2"}}}),
        (ClientEvent.HISTORY_READ, {"conversation_id": "c", "colour": "hunter2"}),
        (ClientEvent.MESSAGE_SEND, "hunter2"),
    ],
)
def test_a_refusal_does_not_repeat_what_was_sent(event: ClientEvent, payload: Any) -> None:
    assert "hunter2" not in refusal(event, payload).message


def test_a_field_name_of_any_length_gives_a_short_message() -> None:
    assert len(refusal(ClientEvent.CONVERSATION_LIST, {"x" * 60_000: 1}).message) < 200

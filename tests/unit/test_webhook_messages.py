"""Messages of webhooks are signed as Standard Webhooks says, and tried again with growing pauses."""

from __future__ import annotations

import base64

import pytest

from sio_server.gateway.api.webhook_messages import (
    MAX_DELAY_S,
    Message,
    delay_s,
    message_of,
    parse_endpoints,
    type_of,
)
from sio_server.protocol.webhook_type import WebhookType

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_message_has_the_signature_of_the_specifications_example() -> None:
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    headers = message.headers([key], 1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (message.id, "1614265330")


def test_while_a_secret_is_replaced_both_sign() -> None:
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    (endpoint,) = parse_endpoints(["shop=https://shop.example"], [f"shop={SECRET}", f"shop={other}"])
    signatures = Message("m", b"{}").headers(endpoint.secrets, 1)["webhook-signature"].split(" ")
    assert len(set(signatures)) == 2
    assert all(one.startswith("v1,") for one in signatures)


def test_an_endpoint_may_want_some_types_only() -> None:
    listed = ["some=https://a.example/h?x=1#run.ended+question.asked", "all=https://b.example"]
    some, everything = parse_endpoints(listed, [f"some={SECRET}", f"all={SECRET}"])
    assert some.url == "https://a.example/h?x=1"
    assert some.types == {WebhookType.RUN_ENDED, WebhookType.QUESTION_ASKED}
    assert everything.types == set(WebhookType)


@pytest.mark.parametrize(
    ("entry_type", "told"),
    [
        *(
            ("message", "entry.appended"),
            ("member_left", "entry.appended"),
            ("of_a_newer_server", "entry.appended"),
        ),
        *(("answer", "run.ended"), ("stopped", "run.ended"), ("failed", "run.ended")),
        ("interrupt", "question.asked"),
    ],
)
def test_the_type_of_a_message_is_that_of_its_entry(entry_type: str, told: str) -> None:
    assert type_of(entry_type) == told


def test_a_message_is_the_same_each_time() -> None:
    message = message_of("c.1", "answer", "e1", 7, "2026-11-23T07:12:00.844Z", '{"seq":7}')
    assert message.id == "c.1.e1.7"
    assert message.body == b'{"type":"run.ended","timestamp":"2026-11-23T07:12:00.844Z","data":{"seq":7}}'


def test_pauses_grow_up_to_a_limit() -> None:
    assert [delay_s(failures) for failures in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert delay_s(10_000) == MAX_DELAY_S

"""An error means the same on both sides of the wire, whatever the other side sends."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.protocol.errors import (
    UNKNOWN_OUTCOME,
    ErrorCode,
    RateLimited,
    Refused,
    RoomgraphError,
    Unavailable,
    from_wire,
)


def an_error(code: ErrorCode, message: str) -> RoomgraphError:
    if code == ErrorCode.RATE_LIMITED:
        return RateLimited(message, 250)
    return Unavailable(message, code) if code in UNKNOWN_OUTCOME else Refused(code, message)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_comes_back_from_the_wire_as_what_it_was(code: ErrorCode) -> None:
    sent = an_error(code, "why")
    back = from_wire(sent.to_wire())
    assert type(back) is type(sent)
    assert (back.code, back.message, back.retryable) == (code.value, "why", sent.retryable)
    assert back.to_wire() == sent.to_wire()


def test_only_errors_with_an_unknown_outcome_and_those_that_pass_are_retryable() -> None:
    retryable = {code for code in ErrorCode if an_error(code, "").retryable}
    passing = {ErrorCode.RATE_LIMITED, ErrorCode.TOO_MANY_CONNECTIONS, ErrorCode.OUT_OF_ORDER}
    assert retryable == {ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL} | passing
    assert all(isinstance(an_error(code, ""), Refused) for code in passing), "nothing was done"


@pytest.mark.parametrize("wait", [None, -1, 10**9, "soon", 1.5])
def test_a_time_to_wait_that_makes_no_sense_is_a_second(wait: Any) -> None:
    back = from_wire({"code": "rate_limited", "message": "", "retryable": True, "retry_after_ms": wait})
    assert isinstance(back, RateLimited)
    assert back.retry_after_ms == 1000


def test_the_wire_form_holds_plain_values_only() -> None:
    wire = Refused(ErrorCode.NOT_A_MEMBER, "no").to_wire()
    assert wire == {"code": "not_a_member", "message": "no", "retryable": False}
    assert type(wire["code"]) is str


def test_a_refusal_carries_the_details_that_a_client_needs() -> None:
    winner = {"seq": 8, "value": "approve", "by": {"user_id": "ann"}}
    sent = Refused(ErrorCode.ALREADY_RESOLVED, "answered", winner)
    assert sent.to_wire()["details"] == winner
    assert from_wire(sent.to_wire()).details == winner


@pytest.mark.parametrize("details", [None, 7, "soon", ["seq"]])
def test_details_that_are_no_object_count_as_none(details: Any) -> None:
    assert from_wire({"code": "already_resolved", "message": "", "details": details}).details == {}


def test_unavailable_has_its_own_code_unless_told_otherwise() -> None:
    assert Unavailable("later").code == "unavailable"


def test_an_error_reads_as_its_code_and_its_message() -> None:
    assert str(Refused(ErrorCode.NOT_ALLOWED, "owners only")) == "not_allowed: owners only"


def test_a_code_of_a_newer_server_is_kept_and_is_a_refusal() -> None:
    back = from_wire({"code": "too_fast", "message": "slow down", "retryable": False})
    assert isinstance(back, Refused)
    assert (back.code, back.message) == ("too_fast", "slow down")


@pytest.mark.parametrize("error", [None, "unavailable", 7, [], ["code", "message"], True])
def test_what_is_not_an_error_object_counts_as_an_unknown_outcome(error: Any) -> None:
    back = from_wire(error)
    assert isinstance(back, Unavailable)
    assert back.code == ErrorCode.INTERNAL


@pytest.mark.parametrize("error", [{}, {"message": "oops"}])
def test_an_error_object_without_a_code_counts_as_an_unknown_outcome(error: dict[str, Any]) -> None:
    back = from_wire(error)
    assert isinstance(back, Unavailable)
    assert back.message == error.get("message", "")


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["code", "message", "retryable"]) | st.text(), inner)
    ),
    max_leaves=8,
)


@given(json)
def test_any_answer_at_all_becomes_an_error_with_text_fields(error: Any) -> None:
    back = from_wire(error)
    assert isinstance(back, Refused | Unavailable)
    assert type(back.code) is str
    assert type(back.message) is str
    assert isinstance(back, Unavailable) <= back.retryable

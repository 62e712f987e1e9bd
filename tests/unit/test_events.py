"""Every request is checked strictly at the door: what is good passes, anything else is refused."""

from json import dumps
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sio_server.protocol.events import (
    CHANGES,
    MAX_FRAME_BYTES,
    MAX_INVITES,
    MAX_MARKED,
    MAX_PAGE_ENTRIES,
    MAX_SYNC_CONVERSATIONS,
    MAX_TEXT_BYTES,
    REQUESTS,
    ClientEvent,
    Entry,
    HandshakeAuth,
)
from sio_server.protocol.position import Position

E = ClientEvent
POSITION = {"epoch": "e1", "seq": 3}
REQUEST = {"request_id": "m-1"}
FULL: dict[ClientEvent, dict[str, Any]] = {
    E.CONVERSATION_CREATE: {
        **REQUEST,
        "conversation_id": "c-1",
        "title": "会议",
        "access": "open",
        "agent": "mention",
        "graph": "support_agent",
        "multitask_strategy": "rollback",
        "approvals": "owner",
        "invites": "owner",
        "invite": ["ann", "agent", "a@b.example"],
        "context": {"tenant": "north", "limits": [1, 2.5, None]},
    },
    E.CONVERSATION_JOIN: {**REQUEST, "conversation_id": "c-1", "position": POSITION},
    E.CONVERSATION_LEAVE: {**REQUEST, "conversation_id": "c-1"},
    E.CONVERSATION_LIST: {"after": "c-1", "limit": 10, "changed_since": "1"},
    E.LIST_SET: {**REQUEST, "conversation_id": "c-1", "pinned": True, "archived": False},
    E.HISTORY_READ: {
        **{"conversation_id": "c-1", "after": 0, "limit": 200},
        **{"before": None, "around": None, "since": None},
    },
    E.CONVERSATION_INVITE: {**REQUEST, "conversation_id": "c-1", "user_ids": ["ann"]},
    E.CONVERSATION_RENAME: {**REQUEST, "conversation_id": "c-1", "title": "会议"},
    E.CONVERSATION_CONFIGURE: {
        **{**REQUEST, "conversation_id": "c-1", "agent": "off", "access": "open"},
        **{"multitask_strategy": "reject", "approvals": "owner", "invites": "owner"},
    },
    E.CONVERSATION_DELETE: {**REQUEST, "conversation_id": "c-1"},
    E.MEMBERS_REMOVE: {**REQUEST, "conversation_id": "c-1", "user_id": "ann"},
    E.ENTRY_READ: {"conversation_id": "c-1", "seq": 7, "page": 2},
    E.MEMBERS_LIST: {"conversation_id": "c-1"},
    E.MESSAGE_SEND: {**REQUEST, "conversation_id": "c-1", "after": "m-0", "text": "hello 你好 😀"},
    E.MESSAGE_EDIT: {**REQUEST, "conversation_id": "c-1", "after": None, "seq": 3, "text": "hello"},
    E.MESSAGE_DELETE: {**REQUEST, "conversation_id": "c-1", "seq": 3, "forget": True},
    E.MESSAGE_SEARCH: {"query": "会议 Room", "conversation_id": "c-1", "before": "cursor", "limit": 50},
    E.RUN_STOP: {**REQUEST, "conversation_id": "c-1", "run_id": "r-1"},
    E.RUN_REGENERATE: {**REQUEST, "conversation_id": "c-1", "seq": 4},
    E.INTERRUPT_RESPOND: {
        **REQUEST,
        "conversation_id": "c-1",
        "interrupt_id": "r-1:0",
        "value": {"a": [1, "x", True]},
    },
    E.MARKS_SET: {"marks": {"c-1": {"read": 2**53 - 1, "delivered": 0}, "c-2": {"read": 1, "delivered": None}}},
    E.DRAFT_SAVE: {**REQUEST, "conversation_id": "c-1", "text": ""},
    E.TYPING_SET: {"conversation_id": "c-1", "typing": True},
    E.SESSION_SYNC: {
        "positions": {"c-1": POSITION, "c-2": None},
        "after": "c-0",
        "limit": 100,
        "entries": 0,
        "members": True,
        "marks": False,
    },
    E.DEVICE_LIST: {},
    E.DEVICE_RENAME: {**REQUEST, "device_id": "d-1", "device_name": "安的手机"},
    E.DEVICE_LINK: {**REQUEST},
    E.DEVICE_UNLINK: {**REQUEST, "code": "ann.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    E.DEVICE_SIGN_OUT: {**REQUEST, "device_id": "d-1"},
}
REQUIRED = {
    E.CONVERSATION_CREATE: {"request_id"},
    E.CONVERSATION_JOIN: {"request_id", "conversation_id"},
    E.CONVERSATION_LEAVE: {"request_id", "conversation_id"},
    E.HISTORY_READ: {"conversation_id"},
    E.CONVERSATION_INVITE: {"request_id", "conversation_id", "user_ids"},
    E.CONVERSATION_RENAME: {"request_id", "conversation_id", "title"},
    E.LIST_SET: {"request_id", "conversation_id"},
    E.CONVERSATION_CONFIGURE: {"request_id", "conversation_id"},
    E.CONVERSATION_DELETE: {"request_id", "conversation_id"},
    E.MESSAGE_SEARCH: {"query"},
    E.MEMBERS_REMOVE: {"request_id", "conversation_id", "user_id"},
    E.ENTRY_READ: {"conversation_id", "seq", "page"},
    E.MEMBERS_LIST: {"conversation_id"},
    E.MESSAGE_SEND: {"request_id", "conversation_id", "text"},
    E.MESSAGE_EDIT: {"request_id", "conversation_id", "seq", "text"},
    E.MESSAGE_DELETE: {"request_id", "conversation_id", "seq"},
    E.RUN_STOP: {"request_id", "conversation_id"},
    E.RUN_REGENERATE: {"request_id", "conversation_id", "seq"},
    E.INTERRUPT_RESPOND: {"request_id", "conversation_id", "interrupt_id", "value"},
    E.MARKS_SET: {"marks"},
    E.DRAFT_SAVE: {"request_id", "conversation_id", "text"},
    E.TYPING_SET: {"conversation_id", "typing"},
    E.SESSION_SYNC: {"positions"},
    E.DEVICE_RENAME: {"request_id", "device_id", "device_name"},
    E.DEVICE_LINK: {"request_id"},
    E.DEVICE_UNLINK: {"request_id", "code"},
    E.DEVICE_SIGN_OUT: {"request_id", "device_id"},
}
# The answer to an interrupt may be of any type.
FIELDS = [(event, field) for event, payload in FULL.items() for field in payload if field != "value"]
HALVES = ["\ud83d", "ok \udc00", "\udc00\ud83d"]


def accepted(event: ClientEvent, payload: Any) -> bool:
    try:
        REQUESTS[event].model_validate(payload)
    except ValidationError:
        return False
    return True


def message(text: Any) -> dict[str, Any]:
    return FULL[E.MESSAGE_SEND] | {"text": text}


def test_every_client_event_has_a_request() -> None:
    assert set(REQUESTS) == set(ClientEvent) == set(FULL)
    assert {event: set(model.model_fields) for event, model in REQUESTS.items()} == {
        event: set(payload) for event, payload in FULL.items()
    }


@pytest.mark.parametrize("event", ClientEvent)
def test_a_full_payload_is_accepted_and_kept_as_it_is(event: ClientEvent) -> None:
    assert REQUESTS[event].model_validate(FULL[event]).model_dump() == FULL[event]


@pytest.mark.parametrize("event", ClientEvent)
def test_a_payload_with_only_the_required_fields_is_accepted(event: ClientEvent) -> None:
    assert accepted(event, {field: FULL[event][field] for field in REQUIRED.get(event, ())})


@pytest.mark.parametrize(
    ("event", "field"), [(event, field) for event, names in REQUIRED.items() for field in sorted(names)]
)
def test_a_payload_without_a_required_field_is_refused(event: ClientEvent, field: str) -> None:
    assert not accepted(event, {name: value for name, value in FULL[event].items() if name != field})


@pytest.mark.parametrize("event", ClientEvent)
def test_a_field_that_is_not_known_is_refused(event: ClientEvent) -> None:
    assert not accepted(event, FULL[event] | {"colour": "red"})


@pytest.mark.parametrize("wrong", [1.5, b"c-1", [1], {"__a": 1}])
@pytest.mark.parametrize(("event", "field"), FIELDS)
def test_a_field_of_the_wrong_type_is_refused(event: ClientEvent, field: str, wrong: Any) -> None:
    assert not accepted(event, FULL[event] | {field: wrong})


@pytest.mark.parametrize(
    ("event", "field", "wrong"),
    [
        (E.MARKS_SET, "marks", {"c": {"read": "3"}}),
        (E.MARKS_SET, "marks", {"c": {"read": True}}),
        (E.MARKS_SET, "marks", {"c": {"delivered": 3.0}}),
        (E.MARKS_SET, "marks", {"c": 3}),
        (E.MARKS_SET, "marks", [["c", {"read": 3}]]),
        (E.TYPING_SET, "typing", 1),
        (E.TYPING_SET, "typing", "true"),
        (E.MESSAGE_SEND, "text", 7),
        (E.CONVERSATION_INVITE, "user_ids", "ann"),
        (E.CONVERSATION_JOIN, "position", ["e1", 3]),
    ],
)
def test_a_field_of_an_event_is_never_converted_to_another_type(
    event: ClientEvent, field: str, wrong: Any
) -> None:
    assert not accepted(event, FULL[event] | {field: wrong})


@pytest.mark.parametrize("payload", [None, [], "c-1", 1, True])
@pytest.mark.parametrize("event", ClientEvent)
def test_a_payload_that_is_no_object_is_refused(event: ClientEvent, payload: Any) -> None:
    assert not accepted(event, payload)


@pytest.mark.parametrize("good", ["a", "0", "A.b_c:d-e", "x" * 64])
def test_a_good_id_is_accepted(good: str) -> None:
    assert accepted(E.CONVERSATION_LEAVE, {**REQUEST, "conversation_id": good})


@pytest.mark.parametrize(
    "bad", ["", "-a", ".a", "a b", "a\n", "a/b", "{a}", "é", "会", "x" * 65, "a\x00", *HALVES]
)
@pytest.mark.parametrize(
    "payload",
    [
        (E.CONVERSATION_LEAVE, lambda bad: {**REQUEST, "conversation_id": bad}),
        (E.CONVERSATION_CREATE, lambda bad: {**REQUEST, "conversation_id": bad, "access": "open"}),
        (E.CONVERSATION_LIST, lambda bad: {"after": bad}),
        (E.MESSAGE_SEND, lambda bad: message("x") | {"request_id": bad}),
        (E.MESSAGE_SEND, lambda bad: message("x") | {"after": bad}),
        (E.DEVICE_SIGN_OUT, lambda bad: {**REQUEST, "device_id": bad}),
        (E.CONVERSATION_JOIN, lambda bad: FULL[E.CONVERSATION_JOIN] | {"position": {"epoch": bad, "seq": 1}}),
        (E.SESSION_SYNC, lambda bad: {"positions": {bad: None}}),
    ],
    ids=lambda payload: payload[0],
)
def test_a_bad_id_is_refused_wherever_it_stands(payload: Any, bad: str) -> None:
    event, build = payload
    assert accepted(event, build("good"))
    assert not accepted(event, build(bad))


@pytest.mark.parametrize("bad", ["", "@ann", "ann b", "安安", "ann\n", "x" * 129, "{ann}", "agent:x", *HALVES])
@pytest.mark.parametrize(
    ("event", "field"), [(E.CONVERSATION_INVITE, "user_ids"), (E.CONVERSATION_CREATE, "invite")]
)
def test_a_bad_user_id_is_refused(event: ClientEvent, field: str, bad: str) -> None:
    assert not accepted(event, FULL[event] | {field: ["ann", bad]})


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    ("event", "field"),
    [
        (E.MESSAGE_SEND, "text"),
        (E.DRAFT_SAVE, "text"),
        (E.CONVERSATION_CREATE, "title"),
        (E.DEVICE_RENAME, "device_name"),
    ],
)
def test_half_a_surrogate_pair_is_refused_in_every_text(event: ClientEvent, field: str, half: str) -> None:
    assert not accepted(event, FULL[event] | {field: half})


@pytest.mark.parametrize("letter", ["x", "é", "会", "😀"])
def test_the_limit_of_a_text_counts_bytes_of_utf8(letter: str) -> None:
    most = MAX_TEXT_BYTES // len(letter.encode())
    for event in (E.MESSAGE_SEND, E.DRAFT_SAVE):
        assert accepted(event, FULL[event] | {"text": letter * most})
        assert not accepted(event, FULL[event] | {"text": letter * (most + 1)})


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (E.MESSAGE_SEND, "text"),
        (E.MESSAGE_EDIT, "text"),
        (E.DEVICE_RENAME, "device_name"),
    ],
)
@pytest.mark.parametrize("blank", [" ", "\n\n", "\u200b", "\u3000", "\x00", "\u2800\ufe0f"])
def test_what_shows_nothing_is_refused(event: ClientEvent, field: str, blank: str) -> None:
    assert not accepted(event, FULL[event] | {field: blank})


def test_a_legal_text_fits_into_a_frame_however_json_writes_it() -> None:
    for letter in ("\x01", "é", "你", "😀"):
        text = "x" + letter * ((MAX_TEXT_BYTES - 1) // len(letter.encode()))
        assert accepted(E.MESSAGE_SEND, message(text))
        payload = dict.fromkeys(("conversation_id", "request_id", "after"), "i" * 64)
        frame = "421" + dumps(["message:send", {**payload, "text": text}])
        assert len(frame) <= MAX_FRAME_BYTES, letter


def test_an_empty_message_is_refused_and_an_empty_draft_is_not() -> None:
    assert not accepted(E.MESSAGE_SEND, message(""))
    assert accepted(E.DRAFT_SAVE, {**REQUEST, "conversation_id": "c", "text": ""})


def marks(count: int) -> dict[str, dict[str, int]]:
    return {conversation_id: {"read": 1} for conversation_id in ids(count)}


def ids(count: int) -> list[str]:
    return [f"id-{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("event", "field", "most", "too_much"),
    [
        (E.CONVERSATION_CREATE, "title", "会" * 200, "会" * 201),
        (E.CONVERSATION_CREATE, "invite", ids(MAX_INVITES), ids(MAX_INVITES + 1)),
        (E.CONVERSATION_INVITE, "user_ids", ids(MAX_INVITES), ids(MAX_INVITES + 1)),
        (E.CONVERSATION_INVITE, "user_ids", ids(1), []),
        (E.CONVERSATION_LIST, "limit", 100, 101),
        (E.CONVERSATION_LIST, "limit", 1, 0),
        (E.HISTORY_READ, "limit", MAX_PAGE_ENTRIES, MAX_PAGE_ENTRIES + 1),
        (E.HISTORY_READ, "limit", 1, 0),
        (E.HISTORY_READ, "after", 0, -1),
        (E.MARKS_SET, "marks", {"c": {"read": 2**53 - 1}}, {"c": {"read": 2**53}}),
        (E.MARKS_SET, "marks", {"c": {"read": 0}}, {"c": {"read": 10**400}}),
        (E.MARKS_SET, "marks", {"c": {"delivered": 0}}, {"c": {"delivered": -1}}),
        (E.MARKS_SET, "marks", marks(MAX_MARKED), marks(MAX_MARKED + 1)),
        (E.DEVICE_RENAME, "device_name", "x" * 60, "x" * 61),
        (E.DEVICE_RENAME, "device_name", "x", " "),
        (E.SESSION_SYNC, "limit", 1, 0),
        (E.SESSION_SYNC, "limit", 100, 101),
        (E.SESSION_SYNC, "entries", 0, -1),
        (E.SESSION_SYNC, "entries", MAX_PAGE_ENTRIES, MAX_PAGE_ENTRIES + 1),
        (E.SESSION_SYNC, "positions", None, []),
        (
            E.SESSION_SYNC,
            "positions",
            dict.fromkeys(ids(MAX_SYNC_CONVERSATIONS)),
            dict.fromkeys(ids(MAX_SYNC_CONVERSATIONS + 1)),
        ),
    ],
)
def test_a_limit_is_met_and_not_passed(event: ClientEvent, field: str, most: Any, too_much: Any) -> None:
    assert accepted(event, FULL[event] | {field: most})
    assert not accepted(event, FULL[event] | {field: too_much})


@pytest.mark.parametrize(("field", "value"), [("access", "public"), ("agent", "sometimes"), ("agent", "Always")])
def test_a_choice_that_does_not_exist_is_refused(field: str, value: str) -> None:
    assert not accepted(E.CONVERSATION_CREATE, {**REQUEST, field: value})


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"token": None},
        {"token": 1},
        {"token": "t", "device_id": "a b"},
        {"token": "t", "device_name": "x" * 101},
        {"token": "t", "device_name": "\ud83d"},
        {"token": "t", "admin": True},
    ],
)
def test_a_wrong_handshake_is_refused(auth: Any) -> None:
    with pytest.raises(ValidationError):
        HandshakeAuth.model_validate(auth)


def test_a_handshake_needs_a_token_only() -> None:
    assert HandshakeAuth.model_validate({"token": "t"}) == HandshakeAuth(token="t", device_id=None, device_name="")


def test_an_entry_of_a_newer_server_is_read_and_what_is_not_known_is_dropped() -> None:
    entry = Entry.model_validate(
        {"v": 2, "conversation_id": "c", "epoch": "e", "seq": 4, "type": "poll", "ts": "t", "data": {}, "new": 1}
    )
    assert (entry.position, entry.text, entry.author) == (Position("e", 4), "", "")
    assert "new" not in entry.model_dump()


names = sorted({field for payload in FULL.values() for field in payload} | {"epoch", "c-1"})
letters = st.text(st.characters() | st.sampled_from(["\ud800", "\udfff", "\x00"]), max_size=8)
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | letters | st.sampled_from(["c-1", "open", 10**400]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(names) | letters, inner, max_size=5)
    ),
    max_leaves=12,
)


@given(json)
@settings(deadline=None, max_examples=150)
def test_any_json_is_either_refused_or_can_be_sent_on_as_utf8(payload: Any) -> None:
    for model in REQUESTS.values():
        try:
            request = model.model_validate(payload)
        except ValidationError:
            continue
        request.model_dump_json().encode()


@given(st.sampled_from(FIELDS), json)
@settings(deadline=None, max_examples=300)
def test_any_json_in_one_field_is_either_refused_or_can_be_sent_on_as_utf8(
    place: tuple[ClientEvent, str], value: Any
) -> None:
    event, field = place
    try:
        request = REQUESTS[event].model_validate(FULL[event] | {field: value})
    except ValidationError:
        return
    request.model_dump_json().encode()


@pytest.mark.parametrize("value", ["approve", True, False, 0, 1.5, [], ["a", {"b": None}], {"decision": "edit"}])
def test_an_answer_to_an_interrupt_may_be_any_plain_json(value: Any) -> None:
    answer = FULL[E.INTERRUPT_RESPOND] | {"value": value}
    assert REQUESTS[E.INTERRUPT_RESPOND].model_validate(answer).model_dump()["value"] == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"lc": 2, "type": "constructor", "id": ["builtins", "print"]},
        [{"deep": {"lc": 1}}],
        {"__interrupt__": "x"},
        {"a": {"__class__": "x"}},
        [[[[[[[[[["too deep"]]]]]]]]]],
        [0] * 1001,
        "x" * MAX_TEXT_BYTES,
        *HALVES,
        {HALVES[0]: 1},
        float("nan"),
        float("inf"),
    ],
)
def test_an_answer_that_could_be_more_than_data_is_refused(value: Any) -> None:
    assert not accepted(E.INTERRUPT_RESPOND, FULL[E.INTERRUPT_RESPOND] | {"value": value})


@pytest.mark.parametrize("event", sorted(CHANGES))
def test_the_digest_of_a_request_is_of_all_that_may_not_differ_in_a_repetition(event: ClientEvent) -> None:
    def digest(**changed: Any) -> str:
        return REQUESTS[event].model_validate(FULL[event] | changed).digest  # type: ignore[attr-defined]

    may_differ = {"request_id": "other", "after": "other", "position": POSITION | {"seq": 4}}
    assert digest() == digest(**{field: value for field, value in may_differ.items() if field in FULL[event]})
    others = {
        field: value
        for field, value in {
            **{"conversation_id": "other", "device_id": "other", "run_id": None, "interrupt_id": "other"},
            **{"title": "other", "text": "other", "device_name": "other", "seq": 9, "user_ids": ["other"]},
            **{"invite": [], "agent": "always", "value": {"a": [1, "x", False]}},
        }.items()
        if field in FULL[event]
    }
    assert len({digest(), *(digest(**{field: value}) for field, value in others.items())}) == len(others) + 1


def test_the_digests_of_two_events_with_the_same_body_differ() -> None:
    body = {**REQUEST, "conversation_id": "c", "seq": 3}
    leave, stop = ({**REQUEST, "conversation_id": "c"}, {**REQUEST, "conversation_id": "c", "run_id": None})
    digests = [
        REQUESTS[event].model_validate(payload).digest  # type: ignore[attr-defined]
        for event, payload in ((E.CONVERSATION_LEAVE, leave), (E.RUN_STOP, stop), (E.RUN_REGENERATE, body))
    ]
    assert len(set(digests)) == 3


def test_the_order_of_the_fields_of_an_answer_does_not_change_its_digest() -> None:
    one, two = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    model = REQUESTS[E.INTERRUPT_RESPOND]
    digests = {
        model.model_validate(FULL[E.INTERRUPT_RESPOND] | {"value": value}).digest  # type: ignore[attr-defined]
        for value in (one, two)
    }
    assert len(digests) == 1

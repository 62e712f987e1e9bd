"""The form of a question, whatever a graph asks with, and what answers it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from roomgraph.questions import Answer, Decided, NotAnAnswer, Reading, chat_texts, read_line
from sio_clients import decisions
from sio_server.conversation.answer_schema import is_schema, misfit_of
from sio_server.protocol.answers import check_answer
from sio_server.protocol.errors import Refused
from sio_server.protocol.forms import Form, form_of

REQUEST = {"name": "send_mail", "args": {"to": "ann", "copies": 1}, "description": "A mail"}
CONFIG = {"action_name": "send_mail", "allowed_decisions": ["approve", "edit", "reject"]}
HITL = {"action_requests": [REQUEST], "review_configs": [CONFIG]}
INBOX = {"action_request": {"action": "mail", "args": {}}, "config": {"allow_accept": True}}
FORM: TypeAdapter[Any] = TypeAdapter(Form)

WORDS = """
text question options value label kind free action args labels action_requests review_configs name type config
action_name allowed_decisions args_schema action_request allow_accept description response_schema $ref
"""
NAMES = st.sampled_from(WORDS.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON)
def test_whatever_is_asked_with_has_a_form_and_no_answer_raises_anything_but_a_refusal(asked, answer):
    form = form_of(asked, is_schema=is_schema)
    FORM.validate_python(form)
    try:
        checked = check_answer(form, answer)
    except Refused as exc:
        refusal = exc
    else:
        for check in checked.checks:
            misfit_of(check.schema, check.part)
        return
    assert (refusal.code, refusal.message[:5]) == ("invalid_payload", "value")


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("When?", "When?"),
        ("", ""),
        ({"message": "When?", "more": 1}, "When?"),
        ({"more": 1}, '{"more": 1}'),
        (7, "7"),
        ({"action_requests": [], "review_configs": []}, '{"action_requests": [], "review_configs": []}'),
        ({**HITL, "review_configs": [{"action_name": "other"}], "text": "Hm?"}, "Hm?"),
        ({"text": "Which?", "options": []}, "Which?"),
        ({"text": "Which?", "options": [None]}, "Which?"),
        ([{**INBOX, "config": {}}], '[{"action_request": {"action": "mail", "args": {}}, "config": {}}]'),
    ],
)
def test_what_is_no_known_request_or_a_malformed_one_is_answered_with_text(asked, text):
    assert form_of(asked) == {"kind": "text", "text": text, "free": True}


def test_the_rules_of_a_review_stand_beside_each_action_or_once_for_a_name():
    other = {**REQUEST, "name": "delete"}
    rule = {"action_name": "delete", "allowed_decisions": ["approve", "dance"], "args_schema": {"type": "object"}}
    form = form_of({"action_requests": [REQUEST, other, REQUEST], "review_configs": [rule, CONFIG]})
    allowed = [action["decisions"] for action in form["actions"]]
    assert allowed == [["approve", "edit", "reject"], ["approve"], ["approve", "edit", "reject"]]
    assert form["actions"][1]["args_schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("options", "answer", "fits"),
    [
        ([{"value": 1, "label": "One"}, "two"], 1, True),
        ([{"value": 1, "label": "One"}, "two"], True, False),
        ([{"value": 1, "label": "One"}, "two"], "One", False),
        ([{"value": {"a": [1]}}], {"a": [1]}, True),
        ([False], False, True),
    ],
)
def test_an_option_is_chosen_by_its_value_as_json(options, answer, fits):
    form = form_of({"options": options})
    if fits:
        assert check_answer(form, answer).given == answer
    else:
        with pytest.raises(Refused):
            check_answer(form, answer)


# Schemas


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/schema.json"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"type": "no such type"},
        {"description": "x" * 70_000},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_a_schema_that_would_be_fetched_or_is_broken_or_too_long_is_not_used(schema):
    assert not is_schema(schema)
    assert form_of("?", schema, is_schema)["kind"] == "text"


def exponential(levels: int) -> dict[str, Any]:
    """A schema of a few lines that takes 2^levels steps."""
    inner = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**inner, f"d{levels}": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"$ref": "#"}, {}),
        ({"$ref": "#/$defs/nowhere"}, 1),
        (exponential(30), "x"),
        ({"pattern": "^(a+)+$"}, "a" * 50 + "!"),
        ({"patternProperties": {"^(a+)+$": False}, "additionalProperties": False}, {"a" * 50 + "!": 1}),
        ({"multipleOf": 1e-300}, 1e308),
        ({"items": {"anyOf": [{"const": number} for number in range(300)]}}, ["x"] * 990),
        ({"items": {"anyOf": [{"const": number} for number in range(300)]}}, [299] * 990),
        ({"uniqueItems": True}, [{"a": number} for number in range(2000)]),
    ],
    ids=lambda item: str(item)[:30],
)
def test_no_schema_keeps_a_node_busy(schema, value):
    began = time.process_time()
    assert is_schema(schema)
    misfit_of(schema, value)
    assert time.process_time() - began < 4.0, "without a bound: half a minute and more"


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"allOf": [schema]}
    return schema


def test_no_schema_uses_up_the_stack():
    """The limits hold on a stack of which a good part is in use already, as under a tracer."""

    def below(frames: int) -> None:
        if frames:
            return below(frames - 1)
        misfit_of({"$ref": "#"}, {})
        assert misfit_of(nested(19), 1) is not None
        assert is_schema(nested(19))
        assert not is_schema(nested(30))
        assert not is_schema(nested(2000))
        return None

    below(250)


def test_items_are_unique_by_their_json():
    schema = {"uniqueItems": True}
    assert misfit_of(schema, [{"a": 1, "b": 2}, {"b": 2, "a": 1}]) == ("", "should fit uniqueItems of the schema")
    assert misfit_of(schema, [1, True, "1", [1]]) is None


# What is typed in the terminal

REVIEW = form_of(
    {
        "action_requests": [REQUEST, {**REQUEST, "name": "delete"}],
        "review_configs": [CONFIG, {"action_name": "delete", "allowed_decisions": ["approve", "respond"]}],
    }
)
TYPED = form_of("?", {"type": "object", "properties": {"people": {"type": "integer"}, "room": {}}})


def one(decision: decisions.Decision) -> Reading:
    return Answer({"decisions": [dict(decision)]})


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        ("approve", one(decisions.approve())),
        ("1", one(decisions.approve())),
        ("Yes", one(decisions.approve())),
        ("批准", one(decisions.approve())),
        ("reject", one(decisions.reject())),
        ("reject because it is late", one(decisions.reject("it is late"))),
        ("no, too late", one(decisions.reject("too late"))),
        ("3 too late", one(decisions.reject("too late"))),
        ("拒绝因为太晚了", one(decisions.reject("太晚了"))),
        ("拒绝，太晚了", one(decisions.reject("太晚了"))),
        ('edit {"args": {"to": "bob"}}', one(decisions.edit("send_mail", {"to": "bob"}))),
        ('edit {"to": "bob"}', one(decisions.edit("send_mail", {"to": "bob"}))),
        ("edit to=bob and eve copies=2", one(decisions.edit("send_mail", {"to": "bob and eve", "copies": 2}))),
        ("修改 to=bob", one(decisions.edit("send_mail", {"to": "bob", "copies": 1}))),
        ("edit", None),
        ("edit somehow", None),
        ("approved?", None),
        ("respond later", None),
        ("9", None),
        ("nothing", None),
    ],
)
def test_a_line_decides_about_an_action_by_name_number_or_fields(line, reading):
    read = read_line(line, form_of(HITL), [], chat_texts())
    assert read == reading if reading else isinstance(read, NotAnAnswer)


def test_several_actions_are_decided_line_by_line():
    first = read_line("approve", REVIEW, [], chat_texts())
    assert isinstance(first, Decided)
    assert "2/2 delete" in first.note
    last = read_line("respond it is gone", REVIEW, first.made, chat_texts())
    assert last == Answer({"decisions": [{"type": "approve"}, {"type": "respond", "message": "it is gone"}]})


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("people=3 room=the red one", {"people": 3, "room": "the red one"}),
        ("people=3，room=red", {"people": 3, "room": "red"}),
        ('{"people": 3}', {"people": 3}),
        ("maybe", "maybe"),
        ("7", 7),
    ],
)
def test_a_line_answers_a_schema_as_json_field_by_field_or_as_text(line, value):
    assert read_line(line, TYPED, [], chat_texts()) == Answer(value)

"""The tables of the protocol: names, the published schema, and the types that are made from it."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from sio_server.protocol.acks import ACKS, check_ack
from sio_server.protocol.entries import LiveEntry, PageEntry
from sio_server.protocol.events import REQUESTS, ClientEvent, EntryType, ServerEvent
from sio_server.protocol.schema import schema_document
from sio_server.protocol.server_events import EVENTS, check_event
from sio_server.protocol.typescript import declarations

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
# The verbs and participles of the two tables. A new name takes one of these, or adds its own here.
IMPERATIVES = {
    *("create", "join", "leave", "invite", "list", "read", "send", "edit", "stop", "regenerate", "respond"),
    *("set", "save", "rename", "delete", "remove", "sign_out", "sync", "search", "configure", "link", "unlink"),
}
PARTICIPLES = {"opened", "ended", "appended", "changed", "written", "reported", "synced", "reset", "moved"}
ENTRY = {
    **{"v": 2, "conversation_id": "c", "epoch": "e", "seq": 3, "ts": "2026-11-23T07:12:00.844Z"},
    **{"type": "member_joined", "data": {"user_id": "bob", "name": "Bob"}},
}


def distance(one: str, other: str) -> int:
    """How many letters must be changed, added or removed to make one of the other."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]


def test_the_distance_counts_changed_letters():
    assert distance("read:update", "read:updated") == 1
    assert distance("marks:set", "marks:moved") == 4


@pytest.mark.parametrize("name", ClientEvent)
def test_a_request_is_a_noun_and_an_imperative(name):
    noun, verb = name.split(":")
    assert noun.isalpha()
    assert verb in IMPERATIVES


@pytest.mark.parametrize("name", ServerEvent)
def test_an_event_is_a_noun_and_a_participle(name):
    noun, verb = name.split(":")
    assert noun.isalpha()
    assert verb in PARTICIPLES


def test_no_request_and_event_can_be_taken_for_each_other():
    pairs = itertools.product(ClientEvent, ServerEvent)
    assert [(request, event) for request, event in pairs if distance(request, event) < 3] == []


def test_every_request_and_event_has_one_row_in_the_tables_of_the_document():
    rows = re.findall(r"^\| `([a-z]+:[a-z_]+)` \|", PROTOCOL, re.MULTILINE)
    assert sorted(rows) == sorted(str(name) for name in (*ClientEvent, *ServerEvent))


def test_every_request_event_and_entry_type_has_a_model():
    assert set(REQUESTS) == set(ACKS) == set(ClientEvent)
    assert set(EVENTS) == set(ServerEvent)
    types = schema_document()["$defs"]["LoggedEntry"]["discriminator"]["mapping"]
    assert set(types) == set(EntryType)


def test_the_published_schema_is_current_and_a_schema():
    published = json.loads((ROOT / "docs" / "protocol.schema.json").read_text(encoding="utf-8"))
    assert published == schema_document(), "run scripts/schema"
    Draft202012Validator.check_schema(published)


def test_the_types_of_the_page_are_current():
    published = (ROOT / "web" / "sdk" / "src" / "protocol.d.ts").read_text(encoding="utf-8")
    assert published == declarations(schema_document()), "run scripts/schema"


def test_an_entry_has_a_number_in_an_event_and_what_hides_it_in_a_page():
    live, page = TypeAdapter(LiveEntry), TypeAdapter(PageEntry)
    live.validate_python({**ENTRY, "n": 7, "session_id": "s"})
    page.validate_python({**ENTRY, "hidden_by": 5})
    for adapter, entry in ((live, ENTRY), (live, {**ENTRY, "n": 7, "hidden_by": 5}), (page, {**ENTRY, "n": 7})):
        with pytest.raises(ValidationError):
            adapter.validate_python(entry)


@pytest.mark.parametrize("wrong", [{"turn_id": None}, {"unknown": 1}, {"seq": "3"}, {"type": "other"}])
def test_what_the_server_may_not_send_is_refused(wrong):
    with pytest.raises(ValidationError):
        check_event("entry:appended", {**ENTRY, "n": 7, **wrong})


def test_what_the_server_may_not_answer_is_refused():
    check_ack("typing:set", {"ok": True})
    check_ack("typing:set", {"ok": False, "error": {"code": "x", "message": "y", "retryable": False}})
    for wrong in ({"ok": True, "more": 1}, {"ok": False}, {}):
        with pytest.raises(ValidationError):
            check_ack("typing:set", wrong)


def test_a_field_that_may_be_left_out_is_optional_in_the_types_and_one_that_may_be_null_is_not():
    types = declarations(schema_document())
    assert re.search(r"type MessageEntry = \{[^}]*turn_id\?: number;", types)
    assert re.search(r"type SyncResult = \{[^}]*draft: Draft \| null;", types)
    assert '"entry:appended": LoggedEntry & {\n  n: number;\n};' in types

"""What a graph is told of the person and the context, by the names that LangGraph gives to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from langgraph_sdk.auth.types import BaseUser

from sio_server.conversation.runs import ClaimedRun
from sio_server.dialog.person import person_fields
from sio_server.dialog.threads import config_of

RUN = ClaimedRun(
    conversation_id="plans",
    epoch="e1",
    run_id="r-1",
    kind="message",
    attempt=1,
    failures=0,
    token="1.a",
    input_seq=1,
    input=None,
    source="",
    began_from="",
    answers={},
    replaces=None,
    graph="teller",
    agent_name="Teller",
)
CLAIMS: dict[str, Any] = {"tenant": "north", "identity": "bob", "is_authenticated": False, "permissions": ["all"]}
PERSON = {"user_id": "ann", "name": "Ann", "device_id": "phone", "claims": CLAIMS}


def test_no_claim_takes_the_place_of_what_the_server_says_of_a_person() -> None:
    user = person_fields(replace(RUN, person=PERSON))["langgraph_auth_user"]
    assert user == {
        "tenant": "north",
        "identity": "ann",
        "display_name": "Ann",
        "is_authenticated": True,
        "permissions": [],
    }


def test_a_person_is_read_by_key_and_by_attribute_as_langgraphs_own_server_gives_one() -> None:
    user = person_fields(replace(RUN, person=PERSON))["langgraph_auth_user"]
    assert (user.identity, user["identity"], user.tenant) == ("ann", "ann", "north")
    assert isinstance(user, BaseUser)
    assert not hasattr(user, "email")


def test_no_field_of_a_context_takes_the_place_of_what_a_run_is_found_by() -> None:
    ours = config_of(replace(RUN, person=PERSON))["configurable"]
    names = [*ours, "checkpoint_id", "checkpoint_ns", "checkpoint_map", "run_id", "__pregel_resuming"]
    given = dict.fromkeys(names, "theirs") | {"colour": "blue"}
    assert config_of(replace(RUN, person=PERSON, context=given))["configurable"] == {**ours, "colour": "blue"}

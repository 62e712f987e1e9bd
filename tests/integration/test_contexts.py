"""A conversation's context is checked when it is created, and reaches the graph with the person who speaks."""

from __future__ import annotations

import json
import time
from typing import Any, TypedDict

import jwt
import pytest

from sio_clients import ChatClient, Refused
from sio_server.dialog.graphs.contexts import ContextSchema
from sio_server.dialog.graphs.served import Served
from tests.conftest import SECRET
from tests.served.devices import Device
from tests.served.dialogs import graph_of, said

pytest_plugins = ["tests.served.fixtures", "tests.served.dialog_fixtures"]


async def told(device: Device, text: str = "tell me") -> dict[str, Any]:
    """What the agent says it was told."""
    entry = await device.ended((await device.conversation.send(text)).run_id)
    assert entry.type == "answer", entry.data
    return dict(json.loads(entry.text))


async def test_the_graph_is_told_the_context_with_its_defaults_and_who_speaks(devices):
    ann = await devices.start("tellme", context={"tenant": "north", "limit": 5})
    said = await told(ann)
    me = ann.client.user_id
    assert said == {
        "context": {"tenant": "north", "style": "short", "limit": 5},
        "user_id": me,
        "device_id": ann.client.device_id,
        "auth_user": {"identity": me, "display_name": "Ann", "is_authenticated": True, "permissions": []},
        "auth_user_id": me,
        "server_user": me,
        "conversation_id": ann.conversation.id,
        "tenant": "north",
    }


async def test_the_person_is_the_one_whose_request_began_the_run(devices):
    ann = await devices.start("tellme", context={"tenant": "north"})
    bob = await devices.join(ann)

    async def speaker(run_id: str | None) -> str:
        return str(json.loads((await ann.ended(run_id)).text)["user_id"])

    sent = await bob.conversation.send("hello")
    assert await speaker(sent.run_id) == bob.client.user_id
    regenerated = await ann.conversation.regenerate((await ann.ended(sent.run_id)).seq)
    assert await speaker(regenerated) == ann.client.user_id
    asked = await ann.ended((await ann.conversation.send("ask")).run_id)
    answered = await bob.conversation.respond(asked.data["interrupts"][0]["interrupt_id"], "me")
    assert await speaker(answered["run_id"]) == bob.client.user_id
    edited = await ann.conversation.edit(asked.data["input_seq"], "hello again")
    assert await speaker(edited.run_id) == ann.client.user_id


async def test_the_claims_that_the_operator_lets_through_reach_the_graph_and_are_in_no_entry(devices, served):
    claims = {
        "sub": "carol",
        "name": "Carol",
        "aud": "roomgraph",
        "exp": int(time.time()) + 600,
        "tenant": "south",
        "roles": ["admin", {"of": "all"}],
        "identity": "ann",
        "email": "carol@example.com",
    }
    client = ChatClient(served.urls, jwt.encode(claims, SECRET, algorithm="HS256"))
    async with client:
        carol = Device(client, "")
        carol.follow(await client.create(graph="tellme", context={"tenant": "north"}))
        user = (await told(carol))["auth_user"]
        assert (user["identity"], user["tenant"], user["roles"]) == ("carol", "south", ["admin", {"of": "all"}])
        assert "email" not in user
        entries = json.dumps([entry.data for entry in carol.of_type("message", "conversation_created")])
        assert "carol" in entries
        assert "south" not in entries
        assert "north" not in entries
        await carol.close()


@pytest.mark.parametrize(
    ("graph", "context", "message"),
    [
        ("tellme", None, "context.tenant: Field required"),
        ("tellme", {}, "context.tenant: Field required"),
        ("tellme", {"tenant": 3}, "context.tenant: Input should be a valid string"),
        ("tellme", {"tenant": "a", "style": "odd"}, "context.style: Input should be 'short' or 'long'"),
        (
            "tellme",
            {"tenant": "a", "colour": 1},
            "context.colour: there is no such field; there are: limit, style, tenant",
        ),
        ("teller", {"tenant": "a"}, "context: the graph teller takes none"),
        ("teller", {}, "context: the graph teller takes none"),
        ("tellme", {"tenant": "x" * 16384}, "context: longer than 16384 bytes"),
        ("tellme", {"__x": 1}, "context: a field named"),
    ],
)
async def test_a_context_that_does_not_fit_is_refused_with_the_fields_name(devices, graph, context, message):
    ann = await devices.connect()
    with pytest.raises(Refused) as caught:
        await ann.client.create(graph=graph, context=context)
    assert caught.value.code in ("invalid_payload", "payload_too_large")
    assert message in str(caught.value)


async def test_a_graph_of_before_contexts_reads_them_in_its_config_and_cannot_be_misled(devices):
    ann = await devices.start("old", context={"colour": "blue", "thread_id": "another", "user_id": "bob"})
    said = await told(ann)
    assert (said["colour"], said["user_id"]) == ("blue", ann.client.user_id)
    assert said["thread_id"].startswith(f"{ann.conversation.id}@")


class Newer(TypedDict):
    region: str


async def test_a_context_that_fits_a_changed_graph_no_longer_fails_the_run_in_words(dialogs):
    graph = graph_of(lambda state: said("never said"))
    served = {"work": Served(graph.compile(), context=ContextSchema(Newer))}
    await dialogs.serve(graph, served=served)
    conversation_id = await dialogs.conversation(context={"tenant": "north"})
    entry = await dialogs.ended_with(conversation_id, await dialogs.send(conversation_id))
    assert (entry.type, entry.data["code"]) == ("failed", "graph_changed")
    assert "context does not fit" in entry.data["reason"]

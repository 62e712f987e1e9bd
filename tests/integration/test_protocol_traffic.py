"""All that a real server sends in a whole session is as the published schema says, and as the models say."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from sio_server.protocol.acks import ACKS, check_ack
from sio_server.protocol.events import ClientEvent, EntryType, ServerEvent
from sio_server.protocol.server_events import EVENTS, check_event
from tests.conftest import RawClient

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs" / "protocol.schema.json").read_text(encoding="utf-8"))
# What a healthy session does not meet; tests of its own cover each.
RARE = {"conversation:synced"}
# The second is in pages only, for those that are there first.
RARE_ENTRIES = {"failed", "conversation_created"}
FINAL = ("answer", "interrupt", "stopped", "failed")


def schema_of(table: str, name: str) -> Draft202012Validator:
    part = SCHEMA["properties"][table]["properties"][name]
    return Draft202012Validator({"$defs": SCHEMA["$defs"], **part})


def validate(table: str, name: str, payload: Any) -> None:
    """Fail with what is wrong with a payload, in a few words."""
    error = best_match(schema_of(table, name).iter_errors(payload))
    assert error is None, f"{name}: {error.message[:300]} at {error.json_path}"


class Session:
    """A raw client that checks each request and ack, and asks as a person does."""

    def __init__(self, client: RawClient, conversation_id: str) -> None:
        self.client = client
        self.conversation_id = conversation_id
        self.asked: set[str] = set()

    async def ask(self, event: str, ok: bool = True, **fields: Any) -> dict[str, Any]:
        validate("requests", event, fields)
        ack = await self.client.call(event, fields)
        check_ack(event, ack)
        validate("acks", event, ack)
        assert ack["ok"] == ok, ack
        if ok:
            self.asked.add(event)
        return dict(ack)

    async def change(self, event: str, ok: bool = True, **fields: Any) -> dict[str, Any]:
        fields = {"conversation_id": self.conversation_id, "request_id": uuid.uuid4().hex, **fields}
        return await self.ask(event, ok, **fields)

    async def entry(self, *types: str, **data: Any) -> dict[str, Any]:
        """The first entry of these types with these data, come already or to come."""

        def found() -> list[dict[str, Any]]:
            entries = self.client.named("entry:appended")
            return [e for e in entries if e["type"] in types and e["data"].items() >= data.items()]

        await self.client.until(found, timeout=20)
        return found()[0]

    async def answered(self, text: str) -> dict[str, Any]:
        """The final entry of the run that a message begins."""
        ack = await self.change("message:send", text=text)
        return await self.entry(*FINAL, run_id=ack["run_id"])


async def talk(ann: Session, bob: Session) -> None:
    """Everything that two people and the agent can do in one conversation."""
    room = ann.conversation_id
    await ann.change("conversation:create", title="Plans", access="open", invite=[bob.client.user_id])
    await bob.change("conversation:join")
    await ann.answered("hello")
    asked = await ann.answered("a workshop room tomorrow at 10 for 6 people")
    question = {"interrupt_id": asked["data"]["interrupts"][0]["interrupt_id"]}
    resumed = await ann.change("interrupt:respond", value="reject", **question)
    refused = await bob.change("interrupt:respond", ok=False, value="approve", **question)
    assert refused["error"]["code"] == "already_resolved"
    assert refused["error"]["details"]["value"] == "reject"
    await ann.entry(*FINAL, run_id=resumed["run_id"])
    sent = await ann.change("message:send", text="a summary, please")
    final = await ann.entry(*FINAL, run_id=sent["run_id"])
    again = await ann.change("run:regenerate", seq=final["seq"])
    replaced = await ann.entry(*FINAL, run_id=again["run_id"])
    assert final["seq"] in replaced["hides"]
    edited = await ann.change("message:edit", seq=sent["seq"], text="a room for 3 people")
    await ann.entry(*FINAL, run_id=edited["run_id"])
    slow = await ann.change("message:send", text="a summary, please")
    await ann.client.event("run:written", timeout=20, run_id=slow["run_id"])
    for _ in range(20):  # the agent may have answered everything before the stop
        sends = (bob.change("message:send", text="and then a room") for _ in range(4))
        queued = (await asyncio.gather(*sends))[-1]["run_id"]
        view = await ann.ask("session:sync", positions={room: None})
        if queued in (await ann.change("run:stop"))["stopped"]:
            break
    assert queued in {run["run_id"] for run in view["conversations"][room]["runs"]}
    await ann.entry("stopped", run_id=queued)


async def live_together(ann: Session, bob: Session) -> None:
    """Everything beside the entries: marks, drafts, lists, members, devices, leaving."""
    room, nobody = ann.conversation_id, f"none-{uuid.uuid4().hex}"
    head = (await ann.ask("history:read", conversation_id=room, after=0, limit=200))["head"]
    await bob.ask("marks:set", marks={room: {"read": head, "delivered": head}, nobody: {"read": 1}})
    await ann.ask("entry:read", ok=False, conversation_id=room, seq=head, page=0)
    await ann.ask("typing:set", conversation_id=room, typing=True)
    await ann.change("draft:save", text="unsent")
    await ann.ask("conversation:list")
    await ann.change("list:set", pinned=True)
    await ann.client.event("list:changed", pinned=True)
    found = await ann.ask("message:search", query="WORKSHOP", conversation_id=room)
    assert found["hits"]
    await ann.ask("message:search", query="hello")
    await ann.ask("history:read", conversation_id=room, around=3)
    await ann.ask("history:read", conversation_id=room, since="2026-01-01T00:00:00Z")
    await ann.ask("history:read", ok=False, conversation_id=room, around=3, before=3)
    await ann.change("conversation:configure", invites="owner")
    await ann.entry("conversation_configured", invites="owner")
    await bob.ask("members:list", conversation_id=room)
    await ann.change("conversation:invite", user_ids=["carl"])
    await ann.ask("session:sync", positions={room: None, nobody: None})
    await ann.ask("session:sync", ok=False, positions={"": None})
    devices = (await ann.ask("device:list"))["devices"]
    renamed = {"device_id": devices[0]["device_id"], "device_name": "Ann's laptop"}
    await ann.ask("device:rename", request_id="rename", **renamed)
    link = await ann.ask("device:link", request_id="link")
    await ann.ask("device:unlink", request_id="unlink", code=link["code"])
    await ann.change("conversation:rename", title="Other plans")
    await ann.change("members:remove", user_id="carl")
    other = (await ann.ask("conversation:create", request_id="other"))["conversation_id"]
    await ann.ask("conversation:delete", request_id="delete", conversation_id=other)
    await ann.client.event("conversation:reset", conversation_id=other)
    await bob.change("conversation:leave")
    await ann.entry("member_left")
    await ann.change("conversation:rename", title="Another")
    sent = await ann.change("message:send", text="to be deleted")
    await ann.change("message:delete", seq=sent["seq"])
    await ann.entry("message_deleted")
    await ann.ask("history:read", conversation_id=room, after=0, limit=200)


@pytest.fixture
async def sessions(raw_client, new_id) -> tuple[Session, Session]:
    return Session(await raw_client(name="Ann"), new_id), Session(await raw_client(node=1, name="Bob"), new_id)


async def test_a_whole_session_is_as_the_schema_says(sessions, raw_client):
    ann, bob = sessions
    await talk(ann, bob)
    eve = Session(await raw_client(name="Eve"), ann.conversation_id)
    await eve.change("conversation:join")
    await eve.client.sio.disconnect()
    await ann.client.event("presence:changed", online=False)
    await live_together(ann, bob)
    await ann.client.settled()
    await ann.change("conversation:delete")
    await ann.client.event("conversation:changed", change="left")
    await ann.client.event("conversation:reset", conversation_id=ann.conversation_id)
    await ann.ask(
        "device:sign_out", request_id="end", device_id=ann.client.named("session:opened")[0]["device_id"]
    )
    await ann.client.event("session:ended")
    told = [*ann.client.events, *bob.client.events]
    for name, payload in told:
        check_event(name, payload)
        validate("events", name, payload)
    assert {name for name, _ in told} == set(ServerEvent) - RARE
    assert {payload["type"] for name, payload in told if name == "entry:appended"} >= set(EntryType) - RARE_ENTRIES
    # No entry here is long: tests/integration/test_long_entries.py reads the pages of one.
    assert ann.asked | bob.asked | {ClientEvent.ENTRY_READ} == set(ClientEvent) == set(ACKS)
    assert set(EVENTS) == set(ServerEvent)


@pytest.mark.parametrize(("name", "wrong"), [("run:changed", {"n": "1"}), ("typing:changed", {"typing": 1})])
def test_traffic_that_is_not_as_the_schema_says_would_be_found(name, wrong):
    assert not schema_of("events", name).is_valid(wrong)

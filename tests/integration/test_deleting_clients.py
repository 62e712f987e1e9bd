"""Clients that delete, and clients that see it: over sockets, through the SDK, and by the API's event."""

from __future__ import annotations

import asyncio

import pytest

from sio_clients.errors import Refused
from sio_server.protocol.events import EntryType
from tests.waiting import within


async def test_a_deleted_message_is_gone_on_devices_that_follow_and_on_those_that_come_back(new_client):
    ann = await new_client("Ann", node=0)
    bob = await new_client("Bob", node=1)
    room = await ann.create(access="open", agent="off")
    his = await bob.join(room.id)
    sent = await room.send("a secret")
    position = None
    async with within(20.0, "the message"):
        async for entry in his.entries():
            if entry.seq == sent.seq:
                assert entry.text == "a secret"
                position = his.position
                break
    assert await room.delete(sent.seq) == [sent.seq]
    async with within(20.0, "the deletion"):
        async for entry in his.entries():
            if entry.type == EntryType.MESSAGE_DELETED:
                assert entry.data["deletes"] == [sent.seq]
                break
    history = {entry.seq: entry for entry in await his.history()}
    assert history[sent.seq].data["deleted"] is True
    assert history[sent.seq].text == ""
    other = await new_client("Bob", node=0, token=bob.token)
    back = await other.join(room.id, position)
    assert back.card is not None
    assert back.card.verdict == "resumed"
    async with within(20.0, "what was missed"):
        async for entry in back.entries():
            assert entry.text != "a secret"
            if entry.type == EntryType.MESSAGE_DELETED:
                break
    with pytest.raises(Refused) as refused:
        await his.delete((await room.send("mine")).seq)
    assert refused.value.code == "not_allowed"


async def test_the_owner_renames_and_deletes_a_conversation_and_members_may_not(new_client):
    ann = await new_client("Ann", node=0)
    bob = await new_client("Bob", node=1)
    left = asyncio.Event()

    def on_changed(event: dict[str, str]) -> None:
        if event["change"] == "left":
            left.set()

    bob.on("conversation:changed", on_changed)
    room = await ann.create(access="open", agent="off", title="Old")
    his = await bob.join(room.id)
    for work in (lambda: his.rename("Mine"), his.delete_all):
        with pytest.raises(Refused) as refused:
            await work()
        assert refused.value.code == "not_allowed"
    assert await room.rename("New")
    assert not await room.rename("New")
    await room.delete_all()
    async with within(20.0, "the news"):
        await left.wait()
    with pytest.raises(Refused):
        [entry async for entry in his.entries()]
    with pytest.raises(Refused) as refused:
        await bob.join(room.id)
    assert refused.value.code == "unknown_conversation"

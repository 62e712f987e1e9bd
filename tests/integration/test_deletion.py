"""A deleted conversation leaves nothing behind, whatever its runs and their owners do meanwhile."""

from __future__ import annotations

import uuid

import pytest

from sio_server.conversation.author import Author
from sio_server.conversation.members import Members
from sio_server.conversation.runs import ClaimedRun, LeaseLost, NothingToDo
from sio_server.protocol.errors import Refused
from sio_server.protocol.events import ConversationCreate
from sio_server.store.keys import conversation_keys
from sio_server.store.scripts import Request
from tests.served.dialogs import Dialogs

pytest_plugins = ["tests.served.dialog_fixtures"]

SHOP = Author("service:shop", "shop", "api", "shop")
BOB = Author("bob", "Bob", "phone")


def asked(author: Author = SHOP) -> Request:
    return Request(author.user_id, uuid.uuid4().hex, "0" * 40)


@pytest.fixture
def members(dialogs: Dialogs) -> Members:
    return dialogs.members


async def left_of(dialogs: Dialogs, conversation: str) -> list[str]:
    """The keys with the conversation's name that do not expire."""
    found = [str(key) async for key in dialogs.redis.scan_iter(match=f"*{conversation}*")]
    return [key for key in found if await dialogs.redis.ttl(key) < 0]


async def test_an_owner_that_works_on_after_the_deletion_leaves_no_thread(
    dialogs: Dialogs, members: Members
) -> None:
    conversation = await dialogs.conversation()
    await dialogs.send(conversation)
    owner, other = dialogs.runs("n1"), dialogs.runs("n2")
    run = await owner.claim_run(conversation)
    assert isinstance(run, ClaimedRun)
    await owner.adopt_thread(run)
    assert (await members.delete(SHOP, conversation, asked())).done
    found = await other.claim_run(conversation)
    assert found == NothingToDo((run.thread_id,))
    await other.forget_threads({conversation: found.retired})
    assert await left_of(dialogs, conversation) == []
    with pytest.raises(LeaseLost):
        await owner.renew_lease(run)
    # It may have written checkpoints since: its thread is named again, and a node is told to look.
    bells = conversation_keys(conversation).runs
    rung = await dialogs.redis.xlen(bells)
    await owner.retire_thread(run)
    assert await dialogs.redis.xlen(bells) == rung + 1
    assert await other.claim_run(conversation) == NothingToDo((run.thread_id,))
    await other.forget_threads({conversation: [run.thread_id]})
    assert await left_of(dialogs, conversation) == []


async def test_only_the_owner_and_services_may_delete(dialogs: Dialogs, members: Members) -> None:
    conversation = await dialogs.conversation()
    await members.join(BOB, conversation, asked(BOB), admitted_by=SHOP)
    with pytest.raises(Refused) as caught:
        await members.delete(BOB, conversation, asked(BOB))
    assert caught.value.code == "not_allowed"


async def test_a_repeated_deletion_does_not_touch_a_later_conversation_of_the_same_id(
    dialogs: Dialogs, members: Members, new_id: str
) -> None:
    async def create(request_id: str) -> None:
        request = ConversationCreate(request_id=request_id, conversation_id=new_id, access="open", graph="work")
        _, created = await members.create(BOB, request)
        assert created.done

    await create("first")
    deletion = asked()
    first = await members.delete(SHOP, new_id, deletion)
    assert (first.done, first.user_ids) == (True, ["bob"])
    assert new_id not in await members.ids("bob", 1000)
    await create("second")
    repeated = await members.delete(SHOP, new_id, deletion)
    assert (repeated.done, repeated.repeated, repeated.user_ids) == (True, True, [])
    assert new_id in await members.ids("bob", 1000)

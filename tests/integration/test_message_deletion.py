"""A deleted message keeps its place and nothing of its text, wherever that was written."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from sio_server.conversation.author import Author
from sio_server.conversation.members import Members
from sio_server.conversation.retention import Kept, Retention
from sio_server.conversation.runs import ClaimedRun, LeaseLost, NothingToDo
from sio_server.protocol.entries import LoggedEntry
from sio_server.protocol.errors import Refused
from sio_server.store.keys import conversation_keys
from sio_server.store.scripts import Request
from tests.served.dialogs import ANN, Dialogs, graph_of, said

pytest_plugins = ["tests.served.dialog_fixtures"]

SHOP = Author("service:shop", "shop", "api", "shop")
BOB = Author("bob", "Bob", "phone")
EVE = Author("eve", "Eve", "phone")
ZOE = Author("zoe", "Zoe", "phone")
SECRET = "the-secret-word"


def asked(author: Author = ANN) -> Request:
    return Request(author.user_id, uuid.uuid4().hex, "1" * 40)


async def entries(dialogs: Dialogs, conversation: str) -> list[dict[str, Any]]:
    page = await dialogs.log.page(conversation, "ann", after=0, limit=200)
    found = [json.loads(text) for _, text in page.entries]
    for entry in found:
        LoggedEntry.model_validate(entry)
    assert [entry["seq"] for entry in found] == list(range(1, page.bounds.head + 1))
    return found


async def holds(dialogs: Dialogs, conversation: str, what: str) -> list[str]:
    """The keys of the conversation, of its runs and its checkpoints, that hold these characters."""
    await dialogs.redis.config_set("rdbcompression", "no")  # of what DUMP gives
    found = []
    async for key in dialogs.redis.scan_iter(count=1000):
        dump = await dialogs.redis.execute_command("DUMP", key, NEVER_DECODE=True)
        if what.encode() in (dump or b""):
            found.append(str(key))
    return found


async def send(dialogs: Dialogs, conversation: str, text: str, author: Author = ANN, **more: Any) -> int:
    ack, _ = await dialogs.log.append_message(
        conversation, author, f"m-{uuid.uuid4().hex[:8]}", text, run_id=f"r-{uuid.uuid4().hex[:8]}", **more
    )
    return int(ack["seq"])


async def test_nothing_of_a_deleted_messages_text_is_left_in_redis(dialogs: Dialogs) -> None:
    conversation = await dialogs.conversation(agent="off")
    await send(dialogs, conversation, "before")
    first = await send(dialogs, conversation, f"{SECRET} one")
    latest = await send(dialogs, conversation, f"{SECRET} two", edits=first)
    await send(dialogs, conversation, "after")
    assert await holds(dialogs, conversation, SECRET)
    assert await dialogs.log.delete_message(conversation, ANN, latest, asked()) == [latest, first]
    log = await entries(dialogs, conversation)
    assert [entry["data"].get("deleted") for entry in log[2:4]] == [True, True]
    assert (log[3]["data"]["text"], log[3]["data"]["edits"], log[2]["hidden_by"]) == ("", first, latest)
    assert (log[-1]["type"], log[-1]["data"]["deletes"]) == ("message_deleted", [latest, first])
    await Retention(dialogs.scripts, Kept(results_ms=5)).sweep()  # writes the log again
    assert await holds(dialogs, conversation, SECRET) == []
    assert await entries(dialogs, conversation) == log
    # A page may begin or end anywhere, also where nothing but what was deleted is.
    for before, limit in ((5, 2), (4, 1), (99, 3), (4, 99)):
        page = await dialogs.log.page(conversation, "ann", before=before, limit=limit)
        end = min(before - 1, page.bounds.head)
        assert [seq for seq, _ in page.entries] == list(range(max(1, end - limit + 1), end + 1))
    missed = await dialogs.log.read_missed(conversation, "ann", None, snapshot=5, limit=3, max_bytes=9999)
    assert [seq for seq, _ in missed.page.entries] == [2, 3, 4]


async def test_a_send_that_is_repeated_after_its_message_was_deleted_makes_no_other(dialogs: Dialogs) -> None:
    conversation = await dialogs.conversation(agent="off")
    ack, _ = await dialogs.log.append_message(conversation, ANN, "m", SECRET, run_id="r")
    await dialogs.log.delete_message(conversation, ANN, ack["seq"], asked())
    again, new = await dialogs.log.append_message(conversation, ANN, "m", SECRET, run_id="r")
    assert (again, new) == (ack, False)


async def test_deleting_it_again_or_repeating_the_request_makes_no_other_entry(dialogs: Dialogs) -> None:
    conversation = await dialogs.conversation(agent="off")
    seq = await send(dialogs, conversation, "x")
    request = asked()
    for _ in range(2):
        assert await dialogs.log.delete_message(conversation, ANN, seq, request) == [seq]
    assert await dialogs.log.delete_message(conversation, ANN, seq, asked()) == []
    assert len(await entries(dialogs, conversation)) == 3


@pytest.mark.parametrize(
    ("by", "operator", "outcome"),
    [
        *((ANN, False, "done"), (BOB, False, "done"), (SHOP, False, "done")),
        *((EVE, False, "not_allowed"), (EVE, True, "done")),
        *((ZOE, False, "unknown_conversation"), (ZOE, True, "done")),
    ],
)
async def test_the_author_the_owner_operators_and_services_may_delete(
    dialogs: Dialogs, by: Author, operator: bool, outcome: str
) -> None:
    conversation = await dialogs.conversation(agent="off")
    for member in (BOB, EVE):
        await dialogs.members.join(member, conversation, admitted_by=SHOP)
    seq = await send(dialogs, conversation, "x", BOB)
    try:
        await dialogs.log.delete_message(conversation, by, seq, asked(by), operator=operator)
        found = "done"
    except Refused as refused:
        found = str(refused.code)
    assert found == outcome


async def test_what_is_no_message_is_not_found(dialogs: Dialogs) -> None:
    conversation = await dialogs.conversation(agent="off")
    for seq in (1, 99):
        with pytest.raises(Refused) as refused:
            await dialogs.log.delete_message(conversation, ANN, seq, asked())
        assert refused.value.code == "not_found"


async def test_a_run_that_answers_a_deleted_message_ends_and_its_owner_may_write_no_more(dialogs: Dialogs) -> None:
    conversation = await dialogs.conversation()
    await dialogs.send(conversation, SECRET)
    runs = dialogs.runs()
    run = await runs.claim_run(conversation)
    assert isinstance(run, ClaimedRun)
    await dialogs.log.delete_message(conversation, ANN, run.input_seq, asked())
    with pytest.raises(LeaseLost):
        await runs.renew_lease(run)
    kinds = [(entry["type"], entry["data"].get("rolled_back")) for entry in await entries(dialogs, conversation)]
    assert kinds[2:] == [("stopped", True), ("message_deleted", None)]
    assert isinstance(await runs.claim_run(conversation), NothingToDo)


async def test_the_agent_forgets_the_turn_of_a_deleted_last_message_and_with_forget_everything(
    dialogs: Dialogs,
) -> None:
    heard: list[list[str]] = []

    async def work(state: dict[str, Any]) -> dict[str, Any]:
        texts = [str(m.content) for m in state["messages"]]
        heard.append(texts)
        return said(f"answer {len(heard)} to {texts[-1]}")

    await dialogs.serve(graph_of(work))
    conversation = await dialogs.conversation()
    for text in ("one", f"two {SECRET}"):
        await dialogs.ended_with(conversation, await dialogs.send(conversation, text))
    log = await entries(dialogs, conversation)
    message, answer = log[-2]["seq"], log[-1]["seq"]
    await dialogs.log.delete_message(conversation, ANN, message, asked())
    await dialogs.log.delete_message(conversation, ANN, answer, asked())
    await dialogs.ended_with(conversation, await dialogs.send(conversation, "three"))
    assert heard[-1] == ["one", "answer 1 to one", "three"]
    first = log[1]["seq"]
    await dialogs.log.delete_message(conversation, ANN, first, asked(), forget=True)
    await dialogs.ended_with(conversation, await dialogs.send(conversation, "four"))
    assert heard[-1] == ["four"]
    for entry in await entries(dialogs, conversation):
        if entry["type"] == "answer" and entry["data"].get("deleted"):
            assert entry["data"]["tools"] == []


async def test_a_deleted_message_is_not_counted_as_unread_and_the_list_shows_none_of_it(dialogs: Dialogs) -> None:
    conversation = await dialogs.conversation(agent="off")
    await dialogs.members.join(BOB, conversation, admitted_by=SHOP)
    await send(dialogs, conversation, "one")
    seq = await send(dialogs, conversation, SECRET)
    await dialogs.log.delete_message(conversation, ANN, seq, asked())
    listed = await dialogs.members.listing.read("bob", "Bob", after=None, limit=10, changed_since=None)
    item = next(one for one in listed["conversations"] if one["conversation_id"] == conversation)
    assert item["unread"] == 1
    assert (item["last_entry"]["text"], item["last_entry"]["deleted"]) == ("", True)


async def test_retention_drops_deleted_messages_with_the_others(dialogs: Dialogs) -> None:
    conversation = await dialogs.conversation(agent="off")
    for number in range(110):
        seq = await send(dialogs, conversation, f"text {number}")
        if number % 2:
            await dialogs.log.delete_message(conversation, ANN, seq, asked())
    keys = conversation_keys(conversation)
    retention = Retention(dialogs.scripts, Kept(entries=100))
    while (await retention.sweep()).more:
        pass
    head, first = (int(value or 0) for value in await dialogs.redis.hmget(keys.meta, ["seq", "first"]))
    assert first == head - 99
    deleted = {int(seq) for seq in await dialogs.redis.hkeys(keys.deleted)}
    assert min(deleted) >= head - 99
    page = await dialogs.log.page(conversation, "ann", after=0, limit=200)
    assert [seq for seq, _ in page.entries] == list(range(head - 99, head + 1))


async def test_a_long_answer_leaves_none_of_its_pages(dialogs: Dialogs) -> None:
    async def work(state: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [AIMessage(SECRET * 9000)]}

    await dialogs.serve(graph_of(work))
    conversation = await dialogs.conversation()
    entry = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert entry.pages
    await dialogs.log.delete_message(conversation, ANN, entry.seq, asked())
    found = (await entries(dialogs, conversation))[entry.seq - 1]
    assert "pages" not in found
    assert not await dialogs.redis.exists(conversation_keys(conversation).long)
    with pytest.raises(Refused):
        await dialogs.log.read_long(conversation, "ann", entry.seq, 0)


async def test_a_deleted_conversation_is_gone_though_messages_of_it_were_deleted(
    dialogs: Dialogs, members: Members
) -> None:
    conversation = await dialogs.conversation(agent="off")
    seq = await send(dialogs, conversation, "x")
    await dialogs.log.delete_message(conversation, ANN, seq, asked())
    await members.delete(ANN, conversation, asked())
    assert isinstance(await dialogs.runs().claim_run(conversation), NothingToDo)
    found = [str(key) async for key in dialogs.redis.scan_iter(match=f"*{conversation}*")]
    assert [key for key in found if await dialogs.redis.ttl(key) < 0] == []


@pytest.fixture
def members(dialogs: Dialogs) -> Members:
    return dialogs.members


async def test_threads_that_a_later_deletion_leaves_are_found_after_the_earlier_ones_are_deleted(
    dialogs: Dialogs,
) -> None:
    conversation = await dialogs.conversation(agent="off")
    keys = conversation_keys(conversation)
    runs = dialogs.runs("n1")
    found = []
    for number in (1, 2):
        seq = await send(dialogs, conversation, f"text {number}")
        await dialogs.redis.hset(keys.meta, "thread", f"{conversation}@{number}")
        rung = await dialogs.redis.xlen(keys.runs)
        await dialogs.log.delete_message(conversation, SHOP, seq, asked(SHOP), forget=True)
        assert await dialogs.redis.xlen(keys.runs) == rung + 1
        found.append(await runs.claim_run(conversation))
    assert found[0] == NothingToDo((f"{conversation}@1",))
    await runs.forget_threads({conversation: found[0].retired})
    assert await runs.claim_run(conversation) == NothingToDo((f"{conversation}@2",))
    await runs.forget_threads({conversation: [f"{conversation}@2"]})
    assert not await dialogs.redis.hexists(keys.meta, "left_threads")

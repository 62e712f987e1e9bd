"""The log script: what one atomic step promises, on a real Redis."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog, Handed
from sio_server.conversation.members import Change, Members
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.protocol.events import ConversationCreate
from sio_server.protocol.position import Position, judge
from sio_server.store.keys import ConversationKeys, conversation_channel, user_conversations
from tests.bus import hearing
from tests.marking import mark_read, save_draft

ANN = Author("ann", "Ann", "d-ann")
BOB = Author("bob", "Bob", "d-bob")


def request(conversation_id: str, **settings: object) -> ConversationCreate:
    """To create a conversation with this id, also a private one, which a client could not ask for."""
    asked = {"request_id": uuid.uuid4().hex, "access": "open", "agent": "off"}
    made = ConversationCreate.model_validate(asked | settings)
    return made.model_copy(update={"conversation_id": conversation_id})


async def append(log: ConversationLog, conversation_id: str, author: Author, request_id: str, text: str = "hi"):
    return await log.append_message(conversation_id, author, request_id, text, run_id=f"r-{request_id}")


async def test_seq_is_dense_from_one_under_concurrent_sends(log, members, new_id):
    await members.create(ANN, request(new_id))
    acks = await asyncio.gather(*(append(log, new_id, ANN, f"c{n}") for n in range(90)))
    assert sorted(ack["seq"] for ack, _ in acks) == list(range(2, 92))
    page = await log.page(new_id, "ann", after=0, limit=200)
    assert [seq for seq, _ in page.entries] == list(range(1, 92))
    assert page.bounds.head == 91


async def test_the_same_request_id_again_gives_the_same_ack_and_no_second_entry(log, members, new_id):
    await members.create(ANN, request(new_id))
    first, new = await append(log, new_id, ANN, "c1")
    again, new_again = await append(log, new_id, ANN, "c1")
    assert (new, new_again) == (True, False)
    assert again == first
    assert (await log.page(new_id, "ann", after=0, limit=10)).bounds.head == 2


async def test_the_same_request_id_at_the_same_time_yields_one_entry(log, members, new_id):
    await members.create(ANN, request(new_id))
    acks = await asyncio.gather(*(append(log, new_id, ANN, "c1") for _ in range(20)))
    assert len({json.dumps(ack) for ack, _ in acks}) == 1
    assert sum(new for _, new in acks) == 1


async def test_a_request_id_used_for_another_body_is_refused_and_changes_nothing(log, members, new_id):
    await members.create(ANN, request(new_id))
    await append(log, new_id, ANN, "c1", "one")
    with pytest.raises(Refused) as refused:
        await append(log, new_id, ANN, "c1", "two")
    assert refused.value.code == "request_id_reused"
    assert (await log.page(new_id, "ann", after=0, limit=10)).bounds.head == 2


async def test_request_ids_of_two_users_do_not_collide(log, members, new_id):
    await members.create(ANN, request(new_id))
    await members.join(BOB, new_id)
    ann, _ = await append(log, new_id, ANN, "same", "from ann")
    bob, _ = await append(log, new_id, BOB, "same", "from bob")
    assert ann["seq"] != bob["seq"]


async def test_a_user_who_is_not_a_member_cannot_append_or_read(log, members, new_id):
    await members.create(ANN, request(new_id))
    for work in (append(log, new_id, BOB, "c1"), log.page(new_id, "bob", limit=10), log.get_view(new_id, "bob")):
        with pytest.raises(Refused) as refused:
            await work
        assert refused.value.code == "not_a_member"


async def test_a_conversation_by_invitation_looks_to_non_members_as_if_it_did_not_exist(log, members, new_id):
    await members.create(ANN, request(new_id, access="invitation"))
    for work in (
        append(log, new_id, BOB, "c1"),
        log.page(new_id, "bob", limit=10),
        members.join(BOB, new_id),
        members.invite(BOB, new_id, ["bob"]),
        mark_read(log, new_id, "bob", 1),
        save_draft(log, new_id, "bob", "x"),
    ):
        with pytest.raises(Refused) as refused:
            await work
        assert refused.value.code == "unknown_conversation"
    assert not (await members.leave(BOB, new_id)).done


async def test_an_invited_user_may_join_and_an_invitation_serves_once(log, members, new_id):
    await members.create(ANN, request(new_id, access="invitation", invite=["bob"]))
    assert (await members.join(BOB, new_id)).done
    assert not (await members.join(BOB, new_id)).done
    await members.leave(BOB, new_id)
    with pytest.raises(Refused):
        await members.join(BOB, new_id)


async def test_joining_and_leaving_twice_make_one_entry_each(log, members, new_id):
    await members.create(ANN, request(new_id))
    for _ in range(2):
        await members.join(BOB, new_id)
    for _ in range(2):
        await members.leave(BOB, new_id)
    page = await log.page(new_id, "ann", after=0, limit=10)
    assert [json.loads(e)["type"] for _, e in page.entries] == [
        "conversation_created",
        "member_joined",
        "member_left",
    ]


async def test_creating_again_with_the_same_settings_is_the_same_conversation(members, new_id):
    assert await members.create(ANN, request(new_id)) == (new_id, Change(True, False))
    assert await members.create(ANN, request(new_id)) == (new_id, Change(False, False))
    for other, author in ((request(new_id, title="other"), ANN), (request(new_id), BOB)):
        with pytest.raises(Refused) as refused:
            await members.create(author, other)
        assert refused.value.code == "conversation_exists"


async def test_what_is_published_is_the_log_in_the_order_of_the_log(redis: Redis, log, members, new_id):
    async with hearing(redis, conversation_channel(new_id)) as ear:
        await members.create(ANN, request(new_id))
        await asyncio.gather(*(append(log, new_id, ANN, f"c{n}", f"text {n}") for n in range(50)))
        heard = [await ear.next() for _ in range(51)]
    assert {message.event for message in heard} == {"entry:appended"}
    for message in heard:
        entry = message.payload
        numbers = [str(entry[name]) for name in ("n", "epoch", "seq", "ts", "type")]
        assert message.head == ["E", *numbers, "-"], "nodes read of the head what clients read of the frame"
    page = await log.page(new_id, "ann", after=0, limit=200)
    assert [message.payload.pop("n") for message in heard] == list(range(1, 52))
    assert [message.payload for message in heard] == [json.loads(envelope) for _, envelope in page.entries]


async def test_the_head_of_a_published_entry_names_who_left_and_which_run_it_ends(
    redis: Redis, log, members, turns, new_id
):
    async with hearing(redis, conversation_channel(new_id)) as ear:
        await members.create(ANN, request(new_id, agent="always"))
        await members.join(BOB, new_id)
        await members.leave(BOB, new_id)
        await log.append_message(new_id, ANN, "m", "hello", run_id="r-1")
        await turns.stop(new_id, ANN, None)
        heads: list[tuple[str, str]] = []
        while not heads or heads[-1][1] != "r-1":
            message = await ear.next()
            if message.head[0] == "E":
                heads.append((message.head[5], message.head[6]))
    about = [("conversation_created", "-"), ("member_joined", "-"), ("member_left", "bob"), ("message", "-")]
    assert heads[:-1] == about
    assert heads[-1][0] in ("stopped", "answer", "failed"), "a node of this cluster may have been quicker"


async def test_a_new_epoch_is_published_to_the_nodes(redis: Redis, log, members, new_id):
    await members.create(ANN, request(new_id))
    old = (await log.get_view(new_id, "ann")).bounds.epoch
    async with hearing(redis, conversation_channel(new_id)) as ear:
        epoch = await log.verify(new_id, Handed(old, 5, "2026-01-01T00:00:00.000Z"))
        assert epoch != old
        assert await ear.text() == f"R {epoch}\n"


async def test_text_comes_back_from_the_log_exactly_as_it_was_sent(log, members, new_id):
    await members.create(ANN, request(new_id))
    texts = [
        '"quotes" \\ and / slashes',
        "你好,世界 👩‍👩‍👧",
        "line\nbreak\ttab\u0000nul\u2028",
        "[]",
        "{}",
        "%s %d {0}",
    ]
    for number, text in enumerate(texts):
        await append(log, new_id, ANN, f"c{number}", text)
    page = await log.page(new_id, "ann", after=1, limit=200)
    assert [json.loads(envelope)["data"]["text"] for _, envelope in page.entries] == texts


async def test_retention_keeps_the_latest_entries_and_forgets_sends_with_their_entries(
    redis: Redis, log, members, new_id
):
    await members.create(ANN, request(new_id))
    for number in range(150):
        await append(log, new_id, ANN, f"c{number}")
    page = await log.page(new_id, "ann", after=0, limit=200)
    assert (page.bounds.first, page.bounds.head, len(page.entries)) == (52, 151, 100)
    assert page.entries[0][0] == 52
    sent = {name for name in await redis.hkeys(ConversationKeys(new_id).sent) if " " in name}
    assert sent == {f"ann c{number}" for number in range(50, 150)}


async def test_a_page_ends_before_it_is_too_large_but_holds_at_least_one_entry(log, members, new_id):
    await members.create(ANN, request(new_id))
    for number in range(5):
        await append(log, new_id, ANN, f"c{number}", "x" * 16_000)
    page = await log.page(new_id, "ann", after=1, limit=200, max_bytes=40_000)
    assert [seq for seq, _ in page.entries] == [2, 3]
    tiny = await log.page(new_id, "ann", after=1, limit=200, max_bytes=1)
    assert [seq for seq, _ in tiny.entries] == [2]


async def test_pages_backwards_are_ascending_and_have_no_gap_between_them(log, members, new_id):
    await members.create(ANN, request(new_id))
    for number in range(24):
        await append(log, new_id, ANN, f"c{number}")
    seqs: list[int] = []
    before = None
    while True:
        page = await log.page(new_id, "ann", before=before, limit=7)
        if not page.entries:
            break
        seqs = [seq for seq, _ in page.entries] + seqs
        before = seqs[0]
    assert seqs == list(range(1, 26))


async def test_a_read_mark_never_goes_back_nor_beyond_the_log(log, members, new_id):
    await members.create(ANN, request(new_id))
    for number in range(3):
        await append(log, new_id, ANN, f"c{number}")
    assert await mark_read(log, new_id, "ann", 3) == 3
    assert await mark_read(log, new_id, "ann", 2) == 3
    assert await mark_read(log, new_id, "ann", 99) == 4


async def test_a_drafts_revision_counts_up(log, members, new_id):
    await members.create(ANN, request(new_id))
    assert [await save_draft(log, new_id, "ann", text) for text in ("a", 'b"\\', "")] == [1, 2, 3]
    assert json.loads((await log.get_view(new_id, "ann")).draft or "null") == {
        "rev": 3,
        "device_id": "d",
        "session_id": "session-of-d",
        "text": "",
    }


async def test_a_page_before_the_first_entry_is_empty(log, members, new_id):
    await members.create(ANN, request(new_id))
    for before in (0, 1):
        assert (await log.page(new_id, "ann", before=before, limit=10)).entries == []


async def test_leaving_an_invitation_declines_it(members, new_id):
    await members.create(ANN, request(new_id, access="invitation", invite=["bob"]))
    await members.leave(BOB, new_id)
    with pytest.raises(Refused) as refused:
        await members.join(BOB, new_id)
    assert refused.value.code == "unknown_conversation"


async def test_a_repeated_creation_or_invitation_still_lists_it_for_the_invited(redis, members, new_id):
    created = request(new_id, access="invitation", invite=["guest-1" + new_id])
    await members.create(ANN, created)
    await members.invite(ANN, new_id, ["guest-2" + new_id])
    for guest, again in (
        ("guest-1", members.create(ANN, created)),
        ("guest-2", members.invite(ANN, new_id, ["guest-2" + new_id])),
    ):
        await redis.delete(user_conversations(guest + new_id))  # as if the first time had ended before this
        await again
        page = await members.listing.read(guest + new_id, "", after=None, limit=10, changed_since=None)
        listed = [(item["conversation_id"], item["role"]) for item in page["conversations"]]
        assert listed == [(new_id, "invited")]


async def test_a_conversation_in_a_users_list_is_a_membership_only_if_the_conversation_says_so(members, new_id):
    outsider, invited = Author("s" + new_id, "S", "d"), Author("i" + new_id, "I", "d")
    await members.create(ANN, request(new_id, access="invitation", invite=[invited.user_id]))
    with pytest.raises(Refused):
        await members.create(outsider, request(new_id, access="invitation"))
    for who in (outsider, invited):
        assert await members.ids(who.user_id, 10) == []
    await members.join(invited, new_id)
    assert await members.ids(invited.user_id, 10) == [new_id]


async def test_a_drafts_revision_continues_after_leaving_and_joining_again(log, members, new_id):
    await members.create(ANN, request(new_id))
    await members.join(BOB, new_id)
    first = await save_draft(log, new_id, "bob", "a")
    await members.leave(BOB, new_id)
    await members.join(BOB, new_id)
    assert await save_draft(log, new_id, "bob", "b") > first


async def test_leaving_deletes_the_users_marks_and_draft(log, members, new_id):
    await members.create(ANN, request(new_id))
    await members.join(BOB, new_id)
    await mark_read(log, new_id, "bob", 1)
    await save_draft(log, new_id, "bob", "secret")
    await members.leave(BOB, new_id)
    await members.join(BOB, new_id)
    view = await log.get_view(new_id, "bob")
    assert (view.draft, view.reads) == (None, "{}")


async def test_a_full_store_refuses_sends_with_a_code_to_try_again_and_loses_nothing(start_cluster):
    from sio_server.store.connection import connect
    from sio_server.store.scripts import Scripts

    cluster = await start_cluster(nodes=1)
    redis = connect(cluster.redis_url)
    scripts = Scripts(redis)
    log = ConversationLog(scripts)
    members = Members(redis, scripts, log, retention=0)
    await members.create(ANN, request("full"))
    await append(log, "full", ANN, "c1")
    await redis.config_set("maxmemory", "1mb")
    with pytest.raises(Unavailable) as unavailable:
        await append(log, "full", ANN, "c2")
    assert unavailable.value.retryable
    await redis.config_set("maxmemory", "0")
    ack, new = await append(log, "full", ANN, "c2")
    assert (ack["seq"], new) == (3, True)
    await redis.aclose()


async def test_what_a_device_missed_is_read_from_where_its_position_is_judged_to_stand(log, members, new_id):
    await members.create(ANN, request(new_id))
    for number in range(108):
        await append(log, new_id, ANN, f"c{number}")
    epoch = (await log.get_view(new_id, "ann")).bounds.epoch
    seqs = (0, 8, 9, 10, 60, 108, 109, 110, 2**53 - 1)
    for position in (None, Position("other", 100), *(Position(epoch, seq) for seq in seqs)):
        missed = await log.read_missed(new_id, "ann", position, snapshot=20, limit=200, max_bytes=2**20)
        assert missed.after == judge(position, missed.view.bounds, 20).after, position
        assert [seq for seq, _ in missed.page.entries] == list(range(missed.after + 1, 110)), position
        assert [json.loads(entry)["seq"] for _, entry in missed.page.entries] == list(range(missed.after + 1, 110))
    with pytest.raises(Refused):
        await log.read_missed(new_id, "bob", None, snapshot=20, limit=200, max_bytes=2**20)


async def test_entries_of_an_older_epoch_are_read_as_entries_of_the_log_as_it_is(log, members, new_id):
    await members.create(ANN, request(new_id))
    await append(log, new_id, ANN, "c1", '"epoch":"x", "type":"member_left"')
    old = json.loads((await log.page(new_id, "ann", after=1, limit=1)).entries[0][1])
    epoch = await log.verify(new_id, Handed(old["epoch"], 99, old["ts"]))
    await append(log, new_id, ANN, "c2")
    page = await log.page(new_id, "", after=1, limit=200)
    first, second = (json.loads(entry) for _, entry in page.entries)
    assert first == {**old, "epoch": epoch}
    assert old["epoch"] != epoch
    assert (second["epoch"], page.last_ts, page.departures) == (epoch, second["ts"], [])


async def test_a_page_for_the_node_itself_says_who_has_left(log, members, new_id):
    await members.create(ANN, request(new_id))
    await members.join(BOB, new_id)
    await members.leave(BOB, new_id)
    page = await log.page(new_id, "", after=0, limit=200)
    assert page.departures == [(3, "bob")]
    assert page.last_ts == json.loads(page.entries[-1][1])["ts"]

"""One user can store so much and no more, and what nobody uses or can reach goes away by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from sio_clients import ChatClient, guest_token
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.quotas import AHEAD_BYTES, Quotas
from sio_server.protocol.errors import Refused
from sio_server.protocol.events import ConversationCreate
from sio_server.store.keys import (
    ConversationKeys,
    user_conversations,
    user_devices,
    user_inviting,
    user_keys,
    user_reserved,
    user_signed_out,
)
from sio_server.store.scripts import Scripts
from sio_server.users.session_records import LiveSession, SessionRecords
from sio_server.users.sign_out import RefusedTokens
from tests.marking import mark_read, save_draft

DAY_MS = 24 * 3600 * 1000
TEXT = "x" * 10_000
QUOTA = 200_000


class Place:
    """The parts with quotas, and two users whom no other test knows."""

    def __init__(self, redis: Redis, new_id: str, *, retention: int = 0, **quotas: int) -> None:
        self.redis = redis
        self.scripts = Scripts(redis)
        limits = Quotas(**quotas)
        self.log = ConversationLog(self.scripts, None, limits)
        self.members = Members(redis, self.scripts, self.log, retention=retention, quotas=limits)
        self.ann = Author(f"ann-{new_id}", "Ann", "d")
        self.bob = Author(f"bob-{new_id}", "Bob", "d")
        self._sent = 0

    async def create(self, conversation_id: str, author: Author | None = None, **settings: Any) -> str:
        """Create a conversation with this id, also a private one, which a client could not ask for."""
        asked = {"request_id": "create", "access": "open", "agent": "off"}
        request = ConversationCreate.model_validate(asked | settings)
        named = request.model_copy(update={"conversation_id": conversation_id})
        await self.members.create(author or self.ann, named)
        return conversation_id

    async def send(self, conversation_id: str, author: Author | None = None, text: str = TEXT) -> None:
        self._sent += 1
        author = author or self.ann
        await self.log.append_message(conversation_id, author, f"c{self._sent}", text, run_id="r")

    async def fill(self, conversation_id: str) -> int:
        """Send until it is refused; return how many were accepted."""
        for count in range(100):
            try:
                await self.send(conversation_id)
            except Refused:
                await refused(self.send(conversation_id))
                return count
        raise AssertionError("nothing was refused")


async def refused(work: Any) -> None:
    with pytest.raises(Refused) as caught:
        await work
    assert (caught.value.code, caught.value.retryable) == ("quota_exceeded", False)


@pytest.fixture
def place(redis: Redis, new_id: str) -> Place:
    return Place(redis, new_id, conversations=3, bytes=QUOTA, invitations=3)


# Bytes


async def test_a_user_stores_so_many_bytes_in_all_conversations_together(place, new_id):
    one, two = await place.create(f"{new_id}-1"), await place.create(f"{new_id}-2")
    await place.send(two, text="a little")
    first = await place.fill(one)
    assert first * len(TEXT) <= QUOTA
    second = await place.fill(two)
    assert (QUOTA - 3 * len(TEXT)) / len(TEXT) < first + second <= QUOTA / len(TEXT)
    # It is one user's, and changes nothing else.
    await place.members.join(place.bob, one)
    await place.send(one, place.bob)
    assert (await place.log.page(one, place.ann.user_id, limit=1)).bounds.head == first + 3


async def test_messages_sent_at_the_same_time_do_not_exceed_the_quota_together(place, new_id):
    await place.create(new_id)
    ends = await asyncio.gather(*(place.send(new_id) for _ in range(40)), return_exceptions=True)
    accepted = sum(end is None for end in ends)
    assert accepted * len(TEXT) <= QUOTA
    assert (await place.log.page(new_id, place.ann.user_id, limit=1)).bounds.head == accepted + 1


async def test_a_send_that_was_accepted_is_acked_again_when_the_quota_is_used_up(place, new_id):
    await place.create(new_id)
    ack, _ = await place.log.append_message(new_id, place.ann, "first", "hello", run_id="r")
    await place.fill(new_id)
    assert await place.log.append_message(new_id, place.ann, "first", "hello", run_id="r") == (ack, False)


async def test_a_draft_counts_as_long_as_it_is_kept(place, new_id):
    await place.create(new_id)
    for _ in range(50):  # one draft in place of another
        await save_draft(place.log, new_id, place.ann.user_id, TEXT)
    with_draft = await place.fill(new_id)
    await refused(save_draft(place.log, new_id, place.ann.user_id, TEXT * 2))
    await save_draft(place.log, new_id, place.ann.user_id, "")
    assert await place.fill(new_id) == 1
    assert with_draft > 10


async def test_what_retention_drops_does_not_count_any_more(redis, new_id):
    place = Place(redis, new_id, bytes=2_000_000, retention=100)
    await place.create(new_id)
    for _ in range(300):
        await place.send(new_id)


async def test_bytes_are_free_again_when_their_conversation_is_gone(place, new_id):
    one, two = await place.create(f"{new_id}-1"), await place.create(f"{new_id}-2")
    await place.fill(one)
    await place.fill(two)
    await place.redis.delete(*ConversationKeys(one).all()[:-3])
    assert await place.fill(two) > 5
    reserved = await place.redis.hgetall(user_reserved(place.ann.user_id))
    assert set(reserved) == {"", two}
    assert int(reserved[""]) == int(reserved[two]) <= QUOTA


async def test_most_messages_need_no_reservation(place, new_id, monkeypatch):
    await place.create(new_id)
    asked = []
    original = place.scripts.user

    async def user(name: str, *args: Any, **arguments: Any) -> Any:
        asked.append(name)
        return await original(name, *args, **arguments)

    monkeypatch.setattr(place.scripts, "user", user)
    for _ in range(100):
        await place.send(new_id, text="a short message")
    assert len(asked) <= 1 + 100 * 400 / AHEAD_BYTES


# Conversations and invitations


async def test_a_user_is_in_so_many_conversations(place, new_id):
    for number in range(3):
        await place.create(f"{new_id}-{number}")
    await place.create(f"{new_id}-0")  # a repetition
    await refused(place.create(f"{new_id}-3"))
    other = await place.create(f"{new_id}-other", place.bob)
    await refused(place.members.join(place.ann, other))
    assert await place.members.ids(place.ann.user_id, 10) == [f"{new_id}-{number}" for number in range(3)]
    await place.members.leave(place.ann, f"{new_id}-0")
    await place.members.join(place.ann, other)


async def test_invitations_by_others_do_not_use_up_a_users_conversations(place, new_id):
    for number in range(3):
        await place.create(f"{new_id}-{number}", place.bob, access="invitation", invite=[place.ann.user_id])
    for number in range(3):
        await place.members.join(place.ann, f"{new_id}-{number}")


async def test_a_user_has_so_many_invitations_at_a_time(place, new_id):
    await place.create(f"{new_id}-1", invite=["a", "b"])
    await place.create(f"{new_id}-1", invite=["a", "b"])  # a repetition
    await refused(place.members.invite(place.ann, f"{new_id}-1", ["c", "d"]))
    await refused(place.create(f"{new_id}-2", invite=["c", "d"]))
    assert (await place.members.invite(place.ann, f"{new_id}-1", ["c"])).user_ids == ["c"]
    assert await place.redis.pttl(user_inviting(place.ann.user_id)) > 0


async def test_an_invitation_ends_after_its_time(redis, new_id):
    place = Place(redis, new_id, invitations=1)

    async def listed() -> list[dict[str, Any]]:
        page = await place.members.listing.read(place.bob.user_id, "", after=None, limit=10, changed_since=None)
        return list(page["conversations"])

    await place.create(new_id, access="invitation", invite=[place.bob.user_id])
    assert [item["role"] for item in await listed()] == ["invited"]
    keys = ConversationKeys(new_id)
    ((_, until_ms),) = await redis.zrange(keys.invitations, 0, -1, withscores=True)
    await redis.zadd(keys.invitations, {place.bob.user_id: until_ms - 30 * DAY_MS - 1})
    await redis.zadd(user_inviting(place.ann.user_id), {f"{new_id} {place.bob.user_id}": 1})
    with pytest.raises(Refused, match="unknown_conversation"):
        await place.members.join(place.bob, new_id)
    assert await listed() == []
    assert (await place.members.invite(place.ann, new_id, [place.bob.user_id])).user_ids == [place.bob.user_id]


async def test_inviting_users_who_do_not_exist_leaves_no_key_for_ever(place, new_id):
    invented = [f"{new_id}-nobody-{number}" for number in range(3)]
    await place.create(new_id, access="invitation", invite=invented)
    for user_id in invented:
        (key,) = [key async for key in place.redis.scan_iter(f"*{user_id}*")]
        assert 29 * DAY_MS < await place.redis.pttl(key) <= 30 * DAY_MS


async def test_a_client_that_exceeds_a_quota_is_told_so_with_a_code_of_its_own(start_cluster, new_id):
    cluster = await start_cluster(nodes=1, QUOTA_CONVERSATIONS="2", QUOTA_BYTES="20000", QUOTA_INVITATIONS="1")
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls, token) as ann:
        plans = await ann.create(conversation_id=new_id, access="open", agent="off")
        await ann.create(conversation_id=f"{new_id}-2", access="open", agent="off", invite=["bob"])
        await plans.send("x" * 15_000)
        in_it = {"conversation_id": new_id}
        for event, fields in {
            "message:send": in_it | {"request_id": "c1", "text": TEXT},
            "draft:save": in_it | {"text": TEXT},
            "conversation:create": {"agent": "off"},
            "conversation:invite": in_it | {"user_ids": ["carl"]},
        }.items():
            await refused(ann.request(event, fields))
        await plans.send("a short message is accepted")


# What expires


def session(author: Author) -> LiveSession:
    return LiveSession(f"s-{author.user_id}", author.user_id, "d", "D", "n", "t", 1)


async def test_the_list_of_a_user_who_has_had_a_session_lasts(place, new_id):
    await place.create(new_id, access="invitation", invite=[place.bob.user_id])
    records = SessionRecords(place.redis, place.scripts)
    await records.open(session(place.bob))
    assert await place.redis.pttl(user_conversations(place.bob.user_id)) == -1
    await records.close({place.bob.user_id: [session(place.bob).session_id]})
    await place.members.invite(place.ann, new_id, [place.bob.user_id])
    assert await place.redis.pttl(user_conversations(place.bob.user_id)) == -1


async def test_what_a_guest_has_expires_after_the_last_session_and_not_before(place, new_id):
    records = SessionRecords(place.redis, place.scripts, users_kept_ms=5 * DAY_MS)
    refused_tokens = RefusedTokens(place.redis, place.scripts, users_kept_ms=5 * DAY_MS)
    await place.create(new_id)
    await place.send(new_id)
    await refused_tokens.revoke(place.ann.user_id)
    fresh = LiveSession("s", place.ann.user_id, "d", "D", "n", "t", 10**14)
    for _ in range(2):
        await records.open(fresh)
        for key in user_keys(place.ann.user_id):
            assert await place.redis.pttl(key) in (-1, -2), key
        await records.close({place.ann.user_id: ["s"]})
        for key in user_keys(place.ann.user_id):
            assert await place.redis.pttl(key) != -1, key
    for key_of in (user_conversations, user_signed_out, user_reserved, user_devices):
        assert await place.redis.exists(key_of(place.ann.user_id))


def own_keys(conversation_id: str) -> tuple[str, ...]:
    return tuple(key for key in ConversationKeys(conversation_id).all() if f":conv:{conversation_id}:" in key)


async def lifetimes(redis: Redis, conversation_id: str) -> set[str]:
    """Whether the conversation's keys expire: `yes`, `no`, or both."""
    ttls = [await redis.pttl(key) for key in own_keys(conversation_id)]
    return {"no" if ttl == -1 else "yes" for ttl in ttls if ttl != -2}


async def test_a_conversation_that_nobody_can_reach_expires_with_all_its_keys(place, new_id):
    await place.create(new_id, access="invitation")
    await place.send(new_id)
    await mark_read(place.log, new_id, place.ann.user_id, 2)
    assert await lifetimes(place.redis, new_id) == {"no"}
    await place.members.leave(place.ann, new_id)
    assert await lifetimes(place.redis, new_id) == {"yes"}
    assert 6 * DAY_MS < await place.redis.pttl(ConversationKeys(new_id).log) <= 7 * DAY_MS


async def test_a_conversation_lasts_while_somebody_may_come_and_again_when_somebody_has(place, new_id):
    await place.create(new_id, access="invitation", invite=[place.bob.user_id])
    await place.members.leave(place.ann, new_id)
    assert await place.redis.pttl(ConversationKeys(new_id).log) > 36 * DAY_MS, (
        "as long as the invitation, and more"
    )
    await place.members.join(place.bob, new_id)
    assert await lifetimes(place.redis, new_id) == {"no"}
    await place.send(new_id, place.bob)
    await place.members.leave(place.bob, new_id)
    assert await lifetimes(place.redis, new_id) == {"yes"}


async def test_a_declined_last_invitation_is_none(place, new_id):
    await place.create(new_id, access="invitation", invite=[place.bob.user_id])
    await place.members.leave(place.ann, new_id)
    await place.members.leave(place.bob, new_id)
    assert await place.redis.pttl(ConversationKeys(new_id).log) <= 7 * DAY_MS


async def test_an_open_conversation_lasts_without_members(place, new_id):
    await place.create(new_id)
    await place.members.leave(place.ann, new_id)
    assert await lifetimes(place.redis, new_id) == {"no"}


async def test_unreachable_conversations_are_kept_for_ever_when_it_is_set_so(redis, new_id):
    place = Place(redis, new_id, abandoned_kept_ms=0)
    await place.create(new_id, access="invitation")
    await place.members.leave(place.ann, new_id)
    assert await lifetimes(redis, new_id) == {"no"}

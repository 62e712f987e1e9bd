"""The list of conversations: what was said last, what is unread, and what has changed since it was last read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sio_server.conversation import listing
from sio_server.conversation.author import Author
from sio_server.conversation.listing import SKEW_MS
from sio_server.conversation.log import Handed
from sio_server.protocol.events import (
    MAX_LIST_TEXT,
    MAX_PAGE_BYTES,
    MAX_TEXT_BYTES,
    MAX_UNREAD,
    ConversationCreate,
)
from sio_server.store.keys import user_conversations, user_unlisted
from tests.marking import mark_read, save_draft, session_of


@dataclass
class Place:
    """Conversations of Ann and Bob, whose ids no other test uses."""

    members: Any
    log: Any
    new_id: str

    def __post_init__(self) -> None:
        self.ann = Author(f"ann-{self.new_id}", "Ann Lee", "laptop")
        self.bob = Author(f"bob-{self.new_id}", "Bob", "phone")
        self.sent = 0

    async def create(self, suffix: str = "") -> str:
        """A conversation of both, without an agent."""
        conversation_id = f"{self.new_id}{suffix}"
        settings = {"title": "Plans", "agent": "off", "access": "open", "invite": [self.bob.user_id]}
        request = ConversationCreate.model_validate(
            {"request_id": "create", "conversation_id": conversation_id, **settings}
        )
        await self.members.create(self.ann, request)
        await self.members.join(self.bob, conversation_id)
        return conversation_id

    async def say(self, conversation_id: str, author: Author, text: str) -> int:
        self.sent += 1
        ack, _ = await self.log.append_message(conversation_id, author, f"c{self.sent}", text, run_id="r")
        return int(ack["seq"])

    async def list(self, since: str | None = None, **options: Any) -> dict[str, Any]:
        """Ann's list."""
        asked = {"after": None, "limit": 100, "changed_since": since, **options}
        return dict(await self.members.listing.read(self.ann.user_id, self.ann.name, **asked))

    async def item(self) -> dict[str, Any]:
        (item,) = (await self.list())["conversations"]
        return dict(item)


@pytest.fixture
def place(members: Any, log: Any, new_id: str) -> Place:
    return Place(members, log, new_id)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """No allowance for clocks that differ: there is one Redis, and what has not changed is not listed twice."""
    monkeypatch.setattr(listing, "SKEW_MS", 0)


async def test_an_item_has_the_last_thing_said_its_author_and_this_users_draft(place: Place) -> None:
    conversation_id = await place.create()
    item = await place.item()
    assert (item["last_entry"], item["draft"], item["unread"], item["mentions"]) == (None, None, 0, 0)
    seq = await place.say(conversation_id, place.bob, "你" * (MAX_LIST_TEXT + 1))
    await save_draft(place.log, conversation_id, place.ann.user_id, "mine")
    await save_draft(place.log, conversation_id, place.bob.user_id, "his")
    item = await place.item()
    ts = item["last_entry"].pop("ts")
    assert ts == item["last_activity"]
    assert item["last_entry"] == {
        **{"seq": seq, "type": "message", "user_id": place.bob.user_id, "name": "Bob"},
        "text": "你" * MAX_LIST_TEXT,
    }
    by = session_of(place.ann.user_id)
    draft = {"rev": 1, "device_id": by.device_id, "session_id": by.session_id, "text": "mine"}
    assert item["draft"] == draft
    # Who comes and goes has said nothing.
    await place.members.leave(place.bob, conversation_id)
    assert (await place.item())["last_entry"]["seq"] == seq


async def test_unread_is_what_others_have_said_above_the_read_mark_up_to_a_limit(
    place: Place,
) -> None:
    conversation_id = await place.create()
    seqs = [
        await place.say(conversation_id, author, "x")
        for author in (place.bob, place.ann, place.bob, place.ann, place.bob)
    ]
    assert (await place.item())["unread"] == 3
    await mark_read(place.log, conversation_id, place.ann.user_id, seqs[0])
    assert (await place.item())["unread"] == 2
    await mark_read(place.log, conversation_id, place.ann.user_id, seqs[-1])
    assert (await place.item())["unread"] == 0
    for _ in range(MAX_UNREAD + 5):  # more than the fixture's retention keeps, too
        await place.say(conversation_id, place.bob, "x")
    assert (await place.item())["unread"] == MAX_UNREAD


async def test_an_edited_message_is_unread_once(place: Place) -> None:
    conversation_id = await place.create()
    seq = await place.say(conversation_id, place.bob, "@annlee old")
    await place.log.append_message(conversation_id, place.bob, "edit", "new", run_id="r", edits=seq)
    item = await place.item()
    assert (item["unread"], item["mentions"], item["last_entry"]["text"]) == (1, 0, "new")


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("@annlee, look", True),
        ("look: @AnnLee.", True),
        ("看看@ANNLEE吧", False),  # this could be anybody's name
        ("看看@AnnLee 吧", True),
        ("＠annlee full width", True),
        ("@Ann", False),
        ("@annleeb", False),
        ("mail ann@annlee.org", False),
        ("annlee", False),
        ("{user_id}", False),
        ("@{user_id}: you?", True),
        ("@{user_id}x", False),
        ("@bob @someone (@annlee)", True),
    ],
)
async def test_mentions_are_unread_messages_that_name_the_user(place: Place, text: str, counts: bool) -> None:
    conversation_id = await place.create()
    await place.say(conversation_id, place.bob, text.format(user_id=place.ann.user_id))
    await place.say(conversation_id, place.ann, "@annlee talks to herself")
    item = await place.item()
    assert (item["unread"], item["mentions"]) == (1, int(counts))


async def test_a_name_that_is_written_without_spaces_after_it_is_found(place: Place) -> None:
    place.ann = Author(place.ann.user_id, "小明", "laptop")
    conversation_id = await place.create()
    for text in ("@小明你好", "你好@小明", "@小红"):
        await place.say(conversation_id, place.bob, text)
    assert (await place.item())["mentions"] == 2


async def test_only_what_has_changed_since_is_listed(place: Place, exact: None) -> None:
    ids = [await place.create(f"-{number}") for number in range(4)]
    page = await place.list()
    assert (page["complete"], page["left"]) == (True, [])

    async def changed(since: str) -> tuple[list[str], str]:
        page = await place.list(since)
        assert not page["complete"]
        assert page["left"] == []
        return [item["conversation_id"] for item in page["conversations"]], page["cursor"]

    seen, cursor = await changed(page["cursor"])
    assert seen in ([], ids[-1:]), "only what was written in the same millisecond may come twice"
    await place.say(ids[0], place.bob, "new")
    await mark_read(place.log, ids[1], place.ann.user_id, 1)
    await save_draft(place.log, ids[2], place.ann.user_id, "draft")
    await save_draft(place.log, ids[3], place.bob.user_id, "of somebody else")
    seen, _ = await changed(cursor)
    assert seen[:3] == ids[:3]
    assert ids[3] not in seen or seen == ids
    # A log that has lost its end has changed, though nothing was appended.
    bounds = (await place.log.get_view(ids[3], place.ann.user_id)).bounds
    _, cursor = await changed(cursor)
    _, cursor = await changed(cursor)
    await place.log.verify(ids[3], Handed(bounds.epoch, bounds.head, "1970-01-01T00:00:00.000Z"))
    assert ids[3] in (await changed(cursor))[0]


async def test_conversations_that_were_left_are_named_and_those_joined_again_are_listed(
    place: Place, redis: Any, exact: None
) -> None:
    ids = [await place.create(f"-{number}") for number in range(3)]
    cursor = (await place.list())["cursor"]
    for conversation_id in ids[:2]:
        await place.members.leave(place.ann, conversation_id)
    await place.members.join(place.ann, ids[1])
    page = await place.list(cursor)
    assert set(page["left"]) == set(ids[:2])
    assert ids[1] in [item["conversation_id"] for item in page["conversations"]], "`left` comes first"
    assert ids[0] not in [item["conversation_id"] for item in page["conversations"]]
    # Leaving may have ended between its two steps.
    await redis.zadd(user_conversations(place.ann.user_id), {ids[0]: 0})
    await redis.delete(user_unlisted(place.ann.user_id))
    assert (await place.list(cursor))["left"] == [ids[0]]


@pytest.mark.parametrize("cursor", ["1", "9" * 15, "9" * 40, "what"])
async def test_a_cursor_that_is_too_old_or_not_ours_gives_the_complete_list(place: Place, cursor: str) -> None:
    conversation_id = await place.create()
    page = await place.list(cursor)
    assert page["complete"]
    assert [item["conversation_id"] for item in page["conversations"]] == [conversation_id]


async def test_pages_hold_each_item_once_whatever_their_size(place: Place, exact: None) -> None:
    ids = [await place.create(f"-{number:02}") for number in range(20)]
    for conversation_id in ids:
        await save_draft(place.log, conversation_id, place.ann.user_id, "x" * MAX_TEXT_BYTES)

    async def pages(since: str | None, limit: int) -> list[list[str]]:
        found, after, cursors = [], None, []
        while True:
            page = await place.list(since, after=after, limit=limit)
            found.append([item["conversation_id"] for item in page["conversations"]])
            cursors.append(page["cursor"] is not None)
            after = page["next"]
            if after is None:
                assert cursors == [True] + [False] * (len(cursors) - 1)
                return found

    def flat(found: list[list[str]]) -> list[str]:
        return [conversation_id for page in found for conversation_id in page]

    short = await pages(None, 100)
    assert len(short) == 2
    assert len(short[0]) <= MAX_PAGE_BYTES / MAX_TEXT_BYTES + 1, "drafts are bounded together"
    assert flat(short) == ids
    assert flat(await pages(None, 3)) == ids
    since = str(int((await place.list())["cursor"]) - 60_000)
    assert flat(await pages(since, 3)) == ids


async def test_a_client_reads_its_list_by_differences(raw_client, new_id):
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await bob.call("conversation:join", {"conversation_id": new_id})
    first = await ann.call("conversation:list", {})
    await bob.call("message:send", {"conversation_id": new_id, "request_id": "c1", "text": "@raw hi"})
    since = str(int(first["cursor"]) + SKEW_MS)  # it may say no more than it must: a test knows the allowance
    second = await ann.call("conversation:list", {"changed_since": since})
    (item,) = second["conversations"]
    assert (item["unread"], item["mentions"], item["last_entry"]["text"]) == (1, 1, "@raw hi")
    await ann.call("conversation:leave", {"conversation_id": new_id})
    third = await ann.call("conversation:list", {"changed_since": since})
    assert (third["complete"], third["conversations"], third["left"]) == (False, [], [new_id])
    refused = await ann.call("conversation:list", {"changed_since": "no cursor"})
    assert refused["error"]["code"] == "invalid_payload"

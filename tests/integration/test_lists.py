"""Lists of conversations: pinned and archived, settings that change, places in a log, and what a page costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sio_server.conversation import listing
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.runs import ClaimedRun, Runs
from sio_server.protocol.events import ConversationCreate
from sio_server.protocol.run import RunStatus
from sio_server.store import script_files
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import connect
from sio_server.store.scripts import Request, Scripts
from tests.integration.test_listing import Place
from tests.integration.test_redis_connection import bare_redis


@pytest.fixture
def place(members: Any, log: Any, new_id: str) -> Place:
    return Place(members, log, new_id)


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[BoundedRedis]:
    """A Redis that nobody else uses."""
    async with bare_redis(tmp_path) as server:
        client = connect(f"redis://127.0.0.1:{server.connection_pool.connection_kwargs['port']}/0")
        yield client
        await client.aclose()


@pytest.fixture
def quiet_place(bare: BoundedRedis, new_id: str) -> Place:
    """A place in that Redis: no node executes runs there."""
    scripts = Scripts(bare)
    log = ConversationLog(scripts)
    return Place(Members(bare, scripts, log, retention=0), log, new_id)


async def room_of(client: Any, new_id: str) -> dict[str, Any]:
    where = {"conversation_id": new_id}
    await client.call("conversation:create", {**where, "title": "Plans", "access": "open", "agent": "off"})
    return where


async def test_what_is_pinned_or_archived_shows_on_all_devices_of_the_user_and_nowhere_else(
    raw_client, new_id
) -> None:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    phone = await raw_client(2, token=ann.token)
    where = await room_of(ann, new_id)
    await bob.call("conversation:join", where)
    (item,) = (await ann.call("conversation:list", {}))["conversations"]
    assert (item["pinned"], item["archived"]) == (False, False)
    cursor = (await phone.call("conversation:list", {}))["cursor"]
    pinned = {**where, "pinned": True, "archived": False}
    assert await ann.call("list:set", {**where, "pinned": True}) == {"ok": True, **pinned}
    told = await phone.event("list:changed", pinned=True)
    assert told == {**pinned, "session_id": ann.named("session:opened")[0]["session_id"]}
    asked = {**where, "request_id": "archive", "archived": True}
    both = {"ok": True, **where, "pinned": True, "archived": True}
    assert await ann.call("list:set", asked) == both
    await phone.call("list:set", {**where, "archived": False})
    assert await ann.call("list:set", asked) == both, "a repetition is answered as at first"
    (item,) = (await phone.call("conversation:list", {"changed_since": cursor}))["conversations"]
    assert (item["pinned"], item["archived"]) == (True, False), "and changes nothing"
    (item,) = (await bob.call("conversation:list", {}))["conversations"]
    assert (item["pinned"], item["archived"]) == (False, False)
    await bob.settled()
    assert bob.named("list:changed") == []


async def test_a_message_leaves_an_archived_conversation_where_it_is_and_leaving_forgets_it(place: Place) -> None:
    room = await place.create()
    request = await place.members.set_listed(place.ann.user_id, room, _asked(place, 1), archived=True)
    assert request == (False, True)
    await place.say(room, place.bob, "news")
    item = await place.item()
    assert (item["archived"], item["unread"]) == (True, 1)
    await place.members.leave(place.ann, room)
    await place.members.join(place.ann, room)
    assert (await place.item())["archived"] is False


def _asked(place: Place, number: int) -> Request:
    return Request(place.ann.user_id, f"asked-{number}", "0" * 40)


async def test_the_owner_changes_settings_which_all_devices_are_told(raw_client, new_id) -> None:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    where = await room_of(ann, new_id)
    await bob.call("conversation:join", where)
    refused = await bob.call("conversation:configure", {**where, "agent": "always"})
    assert refused["error"]["code"] == "not_allowed"
    empty = await ann.call("conversation:configure", where)
    assert empty["error"]["code"] == "invalid_payload"
    settings = {
        **{"agent": "always", "access": "invitation", "multitask_strategy": "enqueue"},
        **{"approvals": "owner", "invites": "members"},
    }
    asked = {**where, "agent": "always", "access": "invitation", "approvals": "owner"}
    ack = await ann.call("conversation:configure", asked)
    assert ack == {"ok": True, **where, **settings, "changed": True}
    entry = await bob.event("entry:appended", type="conversation_configured")
    assert entry["data"] == {"user_id": ann.user_id, "name": "Raw", **settings}
    assert (await ann.call("conversation:configure", asked))["changed"] is False
    # They hold at once: the agent answers, and nobody can join any more.
    assert (await bob.call("message:send", {**where, "text": "hello"}))["run_id"]
    eve = await raw_client(2, name="Eve")
    assert (await eve.call("conversation:join", where))["error"]["code"] == "unknown_conversation"
    synced = await bob.call("session:sync", {"positions": {new_id: None}})
    assert synced["conversations"][new_id].items() >= settings.items()


async def test_an_invitation_says_which_of_the_users_have_never_been_here(raw_client, new_id) -> None:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    where = await room_of(ann, new_id)
    await bob.sio.disconnect()
    nobody = f"nobody-{new_id}"
    asked = {**where, "request_id": "invite", "user_ids": [bob.user_id, nobody]}
    ack = await ann.call("conversation:invite", asked)
    assert (ack["invited"], ack["unknown"]) == ([bob.user_id, nobody], [nobody])
    again = await ann.call("conversation:invite", {**where, "user_ids": [nobody]})
    assert (again["invited"], again["unknown"]) == ([], [nobody]), "an invitation makes nobody known"
    assert await ann.call("conversation:invite", asked) == ack


# What is unread


async def test_only_what_others_say_is_unread(quiet_place: Place, bare: BoundedRedis) -> None:
    phone = Author(quiet_place.ann.user_id, "Ann Lee", "phone")
    room = await quiet_place.create()
    await quiet_place.members.leave(quiet_place.bob, room)
    await quiet_place.members.join(quiet_place.bob, room)
    await quiet_place.say(room, phone, "mine, from another device")
    await quiet_place.members.rename(quiet_place.ann, room, "Other", _asked(quiet_place, 1))
    await quiet_place.members.configure(quiet_place.ann, room, {"agent": "always"}, _asked(quiet_place, 2))
    assert (await quiet_place.item())["unread"] == 0
    runs = Runs(Scripts(bare), "n-1", "n")
    for status in (RunStatus.ANSWERED, RunStatus.FAILED):
        await quiet_place.log.append_message(
            room, quiet_place.ann, f"to-{status}", "hello", run_id=f"r-{status}-{room}"
        )
        run = await runs.claim_run(room)
        assert isinstance(run, ClaimedRun)
        data = {"text": "hi"} if status == RunStatus.ANSWERED else {"reason": "x", "code": "timeout"}
        await runs.finish_run(run, status, data, threads_kept=2)
    assert (await quiet_place.item())["unread"] == 2


# Pages at a place of the log


async def test_a_page_around_an_entry_has_entries_on_both_sides(place: Place) -> None:
    room = await place.create()
    for number in range(40):
        await place.say(room, place.bob, f"entry {number}")

    async def seqs(seq: int, limit: int) -> list[int]:
        page = await place.log.page_around(room, place.ann.user_id, seq, limit=limit)
        assert page.bounds.head == 42
        return [one for one, _ in page.entries]

    assert await seqs(20, 5) == [18, 19, 20, 21, 22]
    assert await seqs(20, 4) == [18, 19, 20, 21]
    assert await seqs(20, 1) == [20]
    assert await seqs(1, 5) == [1, 2, 3, 4, 5]
    assert await seqs(0, 3) == [1, 2, 3]
    assert await seqs(42, 5) == [40, 41, 42]
    assert await seqs(2**53 - 1, 5) == [40, 41, 42]


async def test_a_page_around_an_entry_has_it_also_where_entries_are_long(place: Place) -> None:
    room = await place.create()
    for _ in range(60):
        await place.say(room, place.bob, "x" * 16_000)
    page = await place.log.page_around(room, place.ann.user_id, 30, limit=50)
    seqs = [one for one, _ in page.entries]
    assert 30 in seqs
    assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert len(seqs) < 20


async def test_a_page_since_a_time_begins_with_the_first_entry_that_is_not_older(raw_client, new_id) -> None:
    ann = await raw_client(0)
    where = await room_of(ann, new_id)
    for number in range(9):
        await ann.call("message:send", {**where, "text": f"{number}"})
    entries = (await ann.call("history:read", {**where, "after": 0}))["entries"]

    async def first_since(since: str) -> int | None:
        page = await ann.call("history:read", {**where, "since": since, "limit": 3})
        assert page["ok"], page
        return page["entries"][0]["seq"] if page["entries"] else None

    for entry in entries:
        same = [one["seq"] for one in entries if one["ts"] == entry["ts"]]
        assert await first_since(entry["ts"]) == same[0]
    # A time without a fraction, or with a longer one, is compared as a time.
    second = entries[0]["ts"][:19]
    assert await first_since(f"{second}Z") == 1
    assert await first_since("1970-01-01T00:00:00.000001Z") == 1
    assert await first_since("2999-01-01T00:00:00Z") is None
    for bad in ("yesterday", "2026-01-01", "2026-01-01T00:00:00+08:00", ""):
        ack = await ann.call("history:read", {**where, "since": bad})
        assert ack["error"]["code"] == "invalid_payload"
    both = await ann.call("history:read", {**where, "since": f"{second}Z", "before": 3})
    assert "since" in both["error"]["message"]


# What a list costs


async def evaluated(redis: BoundedRedis) -> int:
    """How many scripts Redis has run."""
    stats = await redis.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("eval", "evalsha"))


async def test_a_page_of_a_list_is_one_step_of_redis_and_so_are_the_changes_since(
    quiet_place: Place, bare: BoundedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SKEW_MS", 0)
    rooms = [f"{quiet_place.new_id}-{number:03}" for number in range(250)]
    for room in rooms:
        new = ConversationCreate(request_id="create", conversation_id=room, access="open", agent="off")
        await quiet_place.members.create(quiet_place.ann, new)
    await quiet_place.list(limit=100)
    before = await evaluated(bare)
    first = await quiet_place.list(limit=100)
    assert len(first["conversations"]) == 100
    # One says what is not in the list any more, the other reads the page.
    assert await evaluated(bare) == before + 2
    cursor = (await quiet_place.list())["cursor"]
    await quiet_place.say(rooms[170], quiet_place.ann, "news")
    before = await evaluated(bare)
    changed = await quiet_place.list(cursor)
    assert {item["conversation_id"] for item in changed["conversations"]} >= {rooms[170]}
    assert changed["next"] is None
    assert await evaluated(bare) == before + 1 + 3


async def test_a_step_that_has_looked_at_much_leaves_the_rest_to_the_next_one(
    place: Place, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(script_files.CONSTANTS, "LISTED_BYTES", 5_000)
    rooms = [await place.create(f"-{number}") for number in range(6)]
    for room in rooms:
        await place.say(room, place.bob, "x" * 3_000)
    # With scripts that are loaded again.
    members = Members(redis, Scripts(redis), place.log, retention=0)
    page = await members.listing.read(place.ann.user_id, "Ann", after=None, limit=100, changed_since=None)
    assert [item["conversation_id"] for item in page["conversations"]] == rooms
    assert [item["unread"] for item in page["conversations"]] == [1] * 6


# The Python SDK


async def test_a_python_client_searches_arranges_and_configures(new_client) -> None:
    ann = await new_client("Ann")
    conversation = await ann.create("Plans", agent="off")
    ack = await conversation.send("the needle")
    for number in range(3):
        await conversation.send(f"hay {number}")
    page = await ann.search("NEEDLE")
    assert [(hit.conversation_id, hit.seq, hit.text) for hit in page.hits] == [
        (conversation.id, ack.seq, "the needle")
    ]
    assert page.next is None
    first = await ann.search("hay", conversation.id, limit=2)
    assert len(first.hits) == 2
    assert [hit.text for hit in (await ann.search("hay", conversation.id, before=first.next)).hits] == ["hay 0"]
    assert [entry.seq for entry in await conversation.history(around=ack.seq, limit=3)] == [1, 2, 3]
    assert (await conversation.history(since=page.hits[0].ts))[0].seq <= ack.seq
    assert await ann.arrange(conversation.id, pinned=True) == (True, False)
    assert await conversation.configure(agent="mention")
    assert not await conversation.configure(agent="mention")
    assert await conversation.invite("nobody-at-all") == ["nobody-at-all"]

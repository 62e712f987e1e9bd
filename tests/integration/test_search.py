"""Search: what was said is found in any case and on any page, in the order of time, and by members only."""

from __future__ import annotations

from typing import Any

import pytest

from sio_server.conversation import search as searching
from sio_server.conversation.author import Author
from sio_server.conversation.folding import fold, index_in, needle_of
from sio_server.conversation.search import Found, Search
from sio_server.protocol.errors import Refused
from sio_server.protocol.events import MAX_HIT_TEXT, ConversationCreate
from sio_server.store.keys import conversation_keys
from sio_server.store.scripts import Request, Scripts

LONG = "x" * 300


class Talk:
    """Conversations of Ann, in which she says things."""

    def __init__(self, redis: Any, members: Any, log: Any, new_id: str) -> None:
        self.search = Search(redis, Scripts(redis))
        self.redis = redis
        self.members = members
        self.log = log
        self.new_id = new_id
        self.ann = Author(f"ann-{new_id}", "Ann", "laptop")
        self.sent = 0

    async def create(self, suffix: str = "") -> str:
        conversation_id = f"{self.new_id}{suffix}"
        settings = {"title": f"Plans{suffix}", "agent": "off", "access": "open", "request_id": "create"}
        request = ConversationCreate.model_validate({**settings, "conversation_id": conversation_id})
        await self.members.create(self.ann, request)
        return conversation_id

    async def say(self, conversation_id: str, text: str, **more: Any) -> int:
        self.sent += 1
        ack, _ = await self.log.append_message(
            conversation_id, self.ann, f"c{self.sent}", text, run_id="r", **more
        )
        return int(ack["seq"])

    async def find(self, query: str, where: str | None = None, **options: Any) -> Found:
        asked = {"conversation_id": where, "before": None, "limit": 20, **options}
        return await self.search.find(self.ann.user_id, query, **asked)

    async def seqs(self, query: str, where: str | None = None) -> list[int]:
        return [hit["seq"] for hit in (await self.find(query, where)).hits]

    async def all_pages(self, query: str, where: str | None, limit: int) -> list[tuple[str, int]]:
        """All hits, page by page: (conversation, seq) of each."""
        found: list[tuple[str, int]] = []
        before = None
        while True:
            page = await self.find(query, where, before=before, limit=limit)
            assert len(page.hits) <= limit
            found += [(hit["conversation_id"], hit["seq"]) for hit in page.hits]
            if page.next is None:
                return found
            before = page.next


@pytest.fixture
def talk(redis: Any, members: Any, log: Any, new_id: str) -> Talk:
    return Talk(redis, members, log, new_id)


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("The Workshop is MOVED", ["workshop", "WORKSHOP IS", "moved"]),
        ("明天上午十点的会议室", ["会议室", "十点"]),
        ("Встреча в Москве, Ärger in KÖLN", ["москве", "ВСТРЕЧА", "ärger", "köln"]),
        ('He said "a\\b" and\nthen c/d', ['"a\\B"', "and\nthen", "C/D"]),
        ("İstanbul tonight", ["tonight", "istanbul"]),
        ("Le café d’Ångström", ["cafe", "CAFÉ", "angstrom", "cafe\u0301"]),
        ("plain cafe", ["café"]),
        ("Straße 5, \ufb01nal", ["strasse 5", "straße", "final"]),
        ("שָׁלוֹם", ["שלום"]),
        ("ガラス", ["ガラス"]),
        ("한국어", ["한국"]),
        (f"{LONG} needle {LONG}", ["Needle"]),
    ],
)
async def test_what_was_said_is_found_in_any_case_and_script(talk: Talk, text: str, queries: list[str]) -> None:
    room = await talk.create()
    seq = await talk.say(room, text)
    await talk.say(room, "something else")
    for query in queries:
        (hit,) = (await talk.find(query, room)).hits
        assert (hit["seq"], hit["title"], hit["user_id"]) == (seq, "Plans", talk.ann.user_id)
        assert fold(query) in fold(hit["text"])
        assert len(hit["text"]) <= MAX_HIT_TEXT
    # Nothing but what was said: no id, name or field.
    for query in (room, "device_id", "Plans"):
        assert await talk.seqs(query, room) == []


def test_redis_looks_for_a_part_that_it_folds_as_python_does() -> None:
    assert needle_of("köln room") == "ln room"
    assert needle_of("会议 room") == "会议 room"
    assert needle_of('say "hello"') == "hello"
    assert needle_of("москва") == ""


def test_a_place_in_a_folded_text_is_found_in_the_text_itself() -> None:
    for text, part in (
        ("Le café noir", "noir"),
        ("Le cafe\u0301 noir", "noir"),
        ("Straßen und Wege", "wege"),
        ("abc", "c"),
    ):
        at = index_in(text, fold(text).index(part))
        assert fold(text[at:]).startswith(part), text


async def test_voiced_sounds_of_japanese_are_other_letters(talk: Talk) -> None:
    room = await talk.create()
    await talk.say(room, "ガラス")
    assert await talk.seqs("カラス", room) == []


async def test_what_was_deleted_or_is_not_current_is_not_found(talk: Talk) -> None:
    room = await talk.create()
    kept = await talk.say(room, "apple kept")
    gone = await talk.say(room, "apple deleted")
    await talk.log.delete_message(room, talk.ann, gone, Request(talk.ann.user_id, "delete", "0" * 40))
    old = await talk.say(room, "apple before")
    new = await talk.say(room, "apple edited", edits=old)
    assert await talk.seqs("apple", room) == [new, kept]


async def test_a_search_sees_no_conversation_of_others(talk: Talk) -> None:
    room = await talk.create()
    await talk.say(room, "secret")
    eve = f"eve-{talk.new_id}"
    asked: dict[str, Any] = {"before": None, "limit": 20}
    with pytest.raises(Refused, match="not_a_member"):
        await talk.search.find(eve, "secret", conversation_id=room, **asked)
    assert (await talk.search.find(eve, "secret", conversation_id=None, **asked)).hits == []
    # Also when the list still names one that was left.
    await talk.redis.zadd(f"{{rg:u:{eve}}}:conversations", {room: 0})
    assert (await talk.search.find(eve, "secret", conversation_id=None, **asked)).hits == []


@pytest.mark.parametrize("step", [3, 500])
async def test_all_conversations_are_searched_as_one_log_in_the_order_of_time(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(searching, "STEP_ENTRIES", step)
    rooms = [await talk.create(f"-{number}") for number in range(3)]
    said = []
    for turn in range(24):
        room = rooms[turn * turn % 3 if turn < 20 else 2]  # not one after another
        text = f"match {turn}" if turn % 5 else "other"
        seq = await talk.say(room, text)
        if turn % 5:
            said.append((room, seq))
    expected = said[::-1]
    times = {}
    for room in rooms:
        for one in (await talk.log.page(room, talk.ann.user_id, limit=200)).entries:
            times[room, one[0]] = one[1].split('"ts":"')[1][:24]
    for limit in (1, 4, 50):
        found = await talk.all_pages("match", None, limit)
        assert sorted(found) == sorted(expected), "each once"
        order = [(times[one], *one) for one in found]
        assert order == sorted(order, reverse=True)


async def test_a_search_that_reaches_its_bound_says_so_and_continues(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "STEP_ENTRIES", 5)
    monkeypatch.setattr(searching, "SEARCHED_ENTRIES", 10)
    room = await talk.create()
    first = await talk.say(room, "rare")
    for _ in range(25):
        await talk.say(room, "common")
    page = await talk.find("rare", room)
    assert (page.hits, page.complete, page.looked_at) == ([], False, 10)
    assert await talk.all_pages("rare", room, 20) == [(room, first)]
    # A page that is full continues where it ended.
    page = await talk.find("common", room, limit=7)
    assert (len(page.hits), page.complete) == (7, True)
    assert len(await talk.all_pages("common", room, 7)) == 25


async def test_one_step_looks_at_a_bounded_number_of_bytes(talk: Talk) -> None:
    room = await talk.create()
    for _ in range(90):
        await talk.say(room, "y" * 15_000)
    reply = await talk.search._scripts.conversation(
        "search_log", room, user_id=talk.ann.user_id, needle="none", before_seq=2**53, before_ts="", limit=500
    )
    assert 60 < int(reply["looked"]) < 90
    assert int(reply["from"]) > 1


async def test_a_cursor_that_is_none_is_refused(talk: Talk) -> None:
    room, other = await talk.create(), await talk.create("-other")
    await talk.say(other, "hello")
    await talk.say(other, "hello")
    for before in ("", "x", "2026-01-01T00:00:00.000Z", f"2026-01-01T00:00:00.000Z {room} x"):
        with pytest.raises(Refused, match="invalid_payload"):
            await talk.find("hello", room, before=before)
    cursor = (await talk.find("hello", other, limit=1)).next
    with pytest.raises(Refused, match="of another search"):
        await talk.find("hello", room, before=cursor)


async def test_a_log_of_which_the_beginning_was_dropped_is_searched_to_its_first_entry(talk: Talk) -> None:
    room = await talk.create()  # with a retention of 100 entries
    for number in range(120):
        await talk.say(room, f"entry {number}")
    assert await talk.redis.hget(conversation_keys(room).meta, "first") == "22"
    assert len(await talk.all_pages("entry", room, 50)) == 100


async def test_a_client_searches_over_the_wire(raw_client: Any, new_id: str) -> None:
    ann = await raw_client(0)
    assert "search" in (await ann.event("session:opened"))["features"]
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    sent = await ann.call("message:send", {"conversation_id": new_id, "text": "Find me"})
    found = await ann.call("message:search", {"query": " find ME "})
    assert (found["ok"], found["complete"], found["next"]) == (True, True, None)
    (hit,) = found["hits"]
    assert (hit["conversation_id"], hit["seq"], hit["text"]) == (new_id, sent["seq"], "Find me")
    for bad in ("", "  ", "\u200b", "x" * 201):
        assert (await ann.call("message:search", {"query": bad}))["error"]["code"] == "invalid_payload"

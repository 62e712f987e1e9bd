"""Entries that the log keeps no longer are in the archive: in pages, whole, and gone with what is deleted."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.retention import Kept, Retention
from sio_server.data.archive import Archive
from sio_server.data.archive_store import ArchiveStore
from sio_server.data.export import Exports
from sio_server.data.user_deletion import UserDeletion
from sio_server.protocol.entries import LoggedEntry
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.protocol.position import Position
from sio_server.store.keys import archive_gone, conversation_keys
from sio_server.store.partitions import partition
from sio_server.store.scripts import Request
from sio_server.users.sign_out import RefusedTokens
from tests.integration.test_user_deletion import BOB, SHOP, Place
from tests.integration.test_user_deletion import place as place
from tests.integration.test_user_deletion import server as server
from tests.served.dialogs import ANN, Dialogs, graph_of

pytest_plugins = ["tests.served.dialog_fixtures"]

SECRET = "the-secret-word"
EVE = Author("eve", "Eve", "d")


def asked(author: Author = ANN) -> Request:
    return Request(author.user_id, uuid.uuid4().hex, "1" * 40)


class Archived(Place):
    """A place with an archive in a folder."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url)
        self.folder = folder
        self.store = ArchiveStore(f"file://{folder}")
        self.archive = Archive(self.redis, self.scripts, self.store)
        self.log = ConversationLog(self.scripts, older=self.archive)
        self.members = Members(self.redis, self.scripts, self.log, retention=0)
        tokens = RefusedTokens(self.redis, self.scripts)
        self.deletions = UserDeletion(self.redis, self.scripts, self.members, tokens, self.archive)
        self.retention = Retention(self.scripts, Kept(entries=100), self.archive)

    async def sweep(self) -> None:
        while (swept := await self.retention.sweep()).more:
            pass
        assert swept.failed == {}

    async def due(self, conversation: str) -> None:
        await self.redis.zadd(conversation_keys(conversation).swept, {conversation: 0})
        await self.sweep()

    async def a_day_later(self, conversation: str) -> None:
        """What was replaced is deleted now."""
        key = archive_gone(partition(conversation))
        for name in await self.redis.zrange(key, 0, -1):
            await self.redis.zadd(key, {name: 0})
        assert await self.archive.remove_gone() == {}

    def objects(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*.gz"))

    def holds(self, what: str) -> bool:
        return any(what in gzip.decompress(path.read_bytes()).decode() for path in self.objects())

    async def backwards(self, conversation: str, limit: int, user_id: str = "bob") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        before = None
        while True:
            page = await self.log.page(conversation, user_id, before=before, limit=limit)
            if not page.entries:
                return found
            found = [json.loads(text) for _, text in page.entries] + found
            before = page.entries[0][0]


@pytest.fixture
async def archived(server: str, place: Place, tmp_path: Path) -> AsyncIterator[Archived]:
    archived = Archived(server, tmp_path / "archive")
    yield archived
    await archived.redis.aclose()


async def test_pages_go_on_below_the_log_in_both_directions_without_a_hole(archived: Archived) -> None:
    conversation = await archived.create(ANN, BOB)
    for number in range(700):
        await archived.send(conversation, ANN, f"text {number}")
    before = await archived.entries_of(conversation)
    await archived.sweep()
    assert await archived.redis.xlen(conversation_keys(conversation).log) < 300
    assert len(archived.objects()) >= 2
    for limit in (200, 77, 1):
        if limit > 1:
            assert await archived.backwards(conversation, limit) == before
        after, forward = 0, list[dict[str, Any]]()
        while len(forward) < len(before) and (limit > 1 or after < 5):
            page = await archived.log.page(conversation, "bob", after=after, limit=limit)
            assert (page.bounds.first, page.bounds.head) == (1, len(before))
            forward += [json.loads(text) for _, text in page.entries]
            after = page.entries[-1][0]
        assert forward == before[: len(forward)]
    with pytest.raises(Refused):
        await archived.log.page(conversation, "eve", before=5, limit=5)
    # A device that is that far behind starts over, as without an archive.
    missed = await archived.log.read_missed(
        conversation, "bob", Position(page.bounds.epoch, 3), snapshot=50, limit=200, max_bytes=10**6
    )
    assert missed.after == missed.view.bounds.head - 50
    exported = [
        line async for line in Exports(archived.redis, archived.log, archived.members).conversation(conversation)
    ]
    assert sum('"kind":"entry"' in line for line in exported) == len(before)


async def test_a_time_and_an_entry_are_found_in_the_archive_as_in_the_log(archived: Archived) -> None:
    conversation = await archived.create(ANN, BOB)
    for number in range(300):
        await archived.send(conversation, ANN, f"text {number}")
    entries = await archived.entries_of(conversation)
    await archived.sweep()
    first_kept = int(await archived.redis.hget(conversation_keys(conversation).meta, "first"))
    assert 100 < first_kept < 290
    for seq in (1, 2, 57, first_kept - 1, first_kept, first_kept + 1, 299):
        ts = entries[seq - 1]["ts"]
        same = next(one["seq"] for one in entries if one["ts"] == ts)
        assert await archived.log.find_time(conversation, "bob", ts) == same
        around = await archived.log.page_around(conversation, "bob", seq, limit=7)
        seqs = [one for one, _ in around.entries]
        assert seq in seqs
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert await archived.log.find_time(conversation, "bob", "1970-01-01T00:00:00Z") == 1


async def test_an_object_whose_step_was_not_carried_out_changes_nothing(archived: Archived, monkeypatch) -> None:
    conversation = await archived.create(ANN, BOB)
    for number in range(250):
        await archived.send(conversation, ANN, f"text {number}")
    put = ArchiveStore.put

    async def put_late(store: ArchiveStore, name: str, lines: Any) -> None:
        await put(store, name, lines)
        await archived.log.delete_message(conversation, ANN, 7, asked())

    monkeypatch.setattr(ArchiveStore, "put", put_late)
    assert not await archived.archive.add(conversation, 1, 100)
    monkeypatch.setattr(ArchiveStore, "put", put)
    assert archived.objects() == []
    assert await archived.archive.add(conversation, 1, 100)
    assert not await archived.archive.add(conversation, 1, 100), "another node was faster"
    assert len(archived.objects()) == 1
    found = await archived.backwards(conversation, 50)
    assert [entry["seq"] for entry in found] == list(range(1, len(found) + 1))
    assert found[6]["data"]["deleted"] is True


async def test_a_deleted_archived_message_is_in_no_object_any_more(archived: Archived) -> None:
    conversation = await archived.create(BOB, ANN, EVE)
    first = await archived.send(conversation, ANN, SECRET)
    latest = await archived.send(conversation, ANN, f"{SECRET} edited", edits=first)
    for number in range(300):
        await archived.send(conversation, BOB, f"text {number}")
    await archived.sweep()
    assert archived.holds(SECRET)
    with pytest.raises(Refused) as refused:
        await archived.log.delete_message(conversation, EVE, latest, asked(EVE))
    assert refused.value.code == "not_allowed"
    request = asked()
    assert await archived.log.delete_message(conversation, ANN, latest, request) == [latest]
    assert archived.holds(SECRET), "a Redis that has lost its last writes names the object that was replaced"
    await archived.a_day_later(conversation)
    assert not archived.holds(SECRET)
    assert await archived.log.delete_message(conversation, ANN, latest, request) == [latest]
    assert await archived.log.delete_message(conversation, ANN, latest, asked()) == []
    found = await archived.backwards(conversation, 100)
    for entry in found:
        LoggedEntry.model_validate(entry)
    assert [found[seq - 1]["data"]["deleted"] for seq in (first, latest)] == [True, True]
    assert [entry["data"]["deletes"] for entry in found if entry["type"] == "message_deleted"] == [[latest]]


@pytest.mark.parametrize("pseudonymise", [False, True])
async def test_a_deleted_user_is_in_no_object_any_more(archived: Archived, pseudonymise: bool) -> None:
    conversation = await archived.create(BOB, EVE)
    for number in range(150):
        await archived.send(conversation, EVE, f"{SECRET} {number}")
        await archived.send(conversation, BOB, f"text {number}")
    await archived.sweep()
    before = await archived.backwards(conversation, 200)
    await archived.deletions.begin("eve", pseudonymise=pseudonymise)
    await archived.deletions.resume()
    await archived.a_day_later(conversation)
    assert archived.holds(SECRET) is pseudonymise
    assert not archived.holds('"eve"')
    after = await archived.backwards(conversation, 200)
    assert [entry["seq"] for entry in after[: len(before)]] == [entry["seq"] for entry in before]
    assert [e["data"]["text"] for e in after if e["data"]["user_id"] == "bob" and e["type"] == "message"] == [
        f"text {number}" for number in range(150)
    ]


async def test_the_objects_of_a_deleted_conversation_are_deleted(archived: Archived) -> None:
    gone, stays = await archived.create(ANN), await archived.create(ANN, BOB)
    for conversation in (gone, stays):
        for number in range(250):
            await archived.send(conversation, ANN, f"text {number}")
    await archived.sweep()
    assert len(archived.objects()) == 2
    await archived.members.delete(SHOP, gone, asked(SHOP))
    await archived.archive.remove_gone()
    assert len(archived.objects()) == 1
    # One that expired by itself is found by the sweep.
    await archived.redis.delete(*conversation_keys(stays).all()[:8])
    await archived.due(stays)
    await archived.archive.remove_gone()
    assert archived.objects() == []


async def test_a_long_answer_is_read_in_pages_from_the_archive(dialogs: Dialogs, tmp_path: Path) -> None:
    async def work(state: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [AIMessage("long " * 30_000)]}

    await dialogs.serve(graph_of(work))
    conversation = await dialogs.conversation()
    entry = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    archive = Archive(dialogs.scripts.redis, dialogs.scripts, ArchiveStore(f"file://{tmp_path}"))
    log = ConversationLog(dialogs.scripts, older=archive)
    assert entry.pages
    whole = [await log.read_long(conversation, "ann", entry.seq, page) for page in range(entry.pages)]
    assert await archive.add(conversation, 1, entry.seq)
    assert [await log.read_long(conversation, "ann", entry.seq, page) for page in range(entry.pages)] == whole
    with pytest.raises(Refused):
        await log.read_long(conversation, "ann", entry.seq, entry.pages)


async def test_an_archive_that_cannot_be_written_loses_nothing_and_says_so(archived: Archived) -> None:
    conversation = await archived.create(ANN, BOB)
    for number in range(250):
        await archived.send(conversation, ANN, f"text {number}")
    archived.folder.rmdir()
    archived.folder.write_text("no folder")
    swept = await archived.retention.sweep()
    assert not swept.more
    assert isinstance(swept.failed[conversation], Unavailable)
    assert (await archived.log.page(conversation, "bob", after=0, limit=1)).bounds.first == 1


async def test_two_deletions_of_one_object_at_the_same_time_are_both_carried_out(archived: Archived) -> None:
    conversation = await archived.create(BOB, ANN)
    seqs = [await archived.send(conversation, ANN, f"{SECRET} {number}") for number in range(8)]
    assert await archived.archive.add(conversation, 1, seqs[-1])
    found = await asyncio.gather(*(archived.log.delete_message(conversation, ANN, seq, asked()) for seq in seqs))
    assert found == [[seq] for seq in seqs]
    entries = await archived.backwards(conversation, 100)
    assert [entries[seq - 1]["data"]["text"] for seq in seqs] == [""] * 8
    await archived.a_day_later(conversation)
    assert not archived.holds(SECRET)
    assert len(archived.objects()) == 1


async def test_a_user_is_deleted_from_an_object_that_another_deletion_changes(
    archived: Archived, monkeypatch
) -> None:
    conversation = await archived.create(BOB, EVE)
    eves = await archived.send(conversation, EVE, SECRET)
    bobs = await archived.send(conversation, BOB, "public")
    assert await archived.archive.add(conversation, 1, bobs)
    put = ArchiveStore.put

    async def put_late(store: ArchiveStore, name: str, lines: Any) -> None:
        monkeypatch.setattr(ArchiveStore, "put", put)
        await archived.log.delete_message(conversation, BOB, bobs, asked(BOB))
        await put(store, name, lines)

    monkeypatch.setattr(ArchiveStore, "put", put_late)
    await archived.deletions.begin("eve")
    await archived.deletions.resume()
    entries = await archived.backwards(conversation, 100)
    assert [entries[seq - 1]["data"]["text"] for seq in (eves, bobs)] == ["", ""]
    assert "eve" not in {entry["data"]["user_id"] for entry in entries}


async def test_an_object_that_was_replaced_while_it_was_read_is_read_under_its_new_name(
    archived: Archived, monkeypatch
) -> None:
    conversation = await archived.create(BOB, ANN)
    seqs = [await archived.send(conversation, ANN, f"text {number}") for number in range(3)]
    assert await archived.archive.add(conversation, 1, seqs[-1])
    get = ArchiveStore.get

    async def get_late(store: ArchiveStore, name: str) -> Any:
        monkeypatch.setattr(ArchiveStore, "get", get)
        await archived.log.delete_message(conversation, ANN, seqs[0], asked())
        await archived.a_day_later(conversation)
        return await get(store, name)

    monkeypatch.setattr(ArchiveStore, "get", get_late)
    page = await archived.log.page(conversation, "bob", after=0, limit=100)
    assert [seq for seq, _ in page.entries] == list(range(1, seqs[-1] + 1))


async def test_pages_and_exports_do_not_hide_that_an_object_is_missing(archived: Archived) -> None:
    conversation = await archived.create(BOB, ANN)
    for number in range(39):
        await archived.send(conversation, ANN, f"text {number}")
    head = (await archived.log.page(conversation, "bob", limit=1)).bounds.head
    for first in (1, 11, 21):
        assert await archived.archive.add(conversation, first, first + 9)
    lost = (await archived.redis.zrange(conversation_keys(conversation).archived, 0, -1))[1]
    await archived.store.delete([lost])
    expected = [*range(1, 11), *range(21, head + 1)]
    assert [entry["seq"] for entry in await archived.backwards(conversation, 50)] == [*range(21, head + 1)]
    after, forward = 0, list[int]()
    while after < head:
        page = await archived.log.page(conversation, "bob", after=after, limit=50)
        forward += [seq for seq, _ in page.entries]
        after = forward[-1]
    assert forward == expected
    exports = Exports(archived.redis, archived.log, archived.members)
    for lines in (exports.conversation(conversation), exports.user("ann")):
        told = [json.loads(line) async for line in lines]
        assert [one for one in told if one["kind"] == "missing"] == [
            {"kind": "missing", "conversation_id": conversation, "after": 10}
        ]
        assert told[-1]["kind"] == "end"


async def test_an_archived_page_has_nothing_above_up_to(archived: Archived) -> None:
    conversation = await archived.create(ANN, BOB)
    first = await archived.send(conversation, ANN, "one")
    latest = await archived.send(conversation, ANN, "two", edits=first)
    before = await archived.log.page(conversation, "bob", after=0, up_to=latest - 1, limit=100)
    assert await archived.archive.add(conversation, 1, latest)
    page = await archived.log.page(conversation, "bob", after=0, up_to=latest - 1, limit=100)
    assert list(page.entries) == list(before.entries)
    page = await archived.log.page(conversation, "bob", after=0, limit=100)
    assert [json.loads(text).get("hidden_by") for _, text in page.entries] == [None, None, latest, None]


async def test_an_edit_while_an_object_is_written_hides_what_it_edits(archived: Archived, monkeypatch) -> None:
    conversation = await archived.create(ANN, BOB)
    first = await archived.send(conversation, ANN, "one")
    put = ArchiveStore.put

    async def put_late(store: ArchiveStore, name: str, lines: Any) -> None:
        await put(store, name, lines)
        await archived.send(conversation, ANN, "two", edits=first)

    monkeypatch.setattr(ArchiveStore, "put", put_late)
    assert not await archived.archive.add(conversation, 1, first)
    monkeypatch.setattr(ArchiveStore, "put", put)
    assert await archived.archive.add(conversation, 1, first)
    entries = await archived.backwards(conversation, 100)
    assert entries[first - 1]["hidden_by"] == first + 1


async def test_what_may_be_edited_yet_is_not_archived(archived: Archived) -> None:
    conversation = await archived.create(ANN, BOB)
    for number in range(210):
        latest = await archived.send(conversation, ANN, f"text {number}")
    for number in range(120):  # entries that are no messages
        await archived.members.rename(ANN, conversation, f"title {number}", asked())
    await archived.due(conversation)
    page = await archived.log.page(conversation, "", after=0, limit=1)
    assert page.bounds.first == latest
    await archived.send(conversation, ANN, "another text", edits=latest)
    entries = await archived.backwards(conversation, 200)
    assert entries[latest - 1]["hidden_by"] == len(entries)


async def test_the_agent_forgets_everything_with_an_archived_message_as_well(archived: Archived) -> None:
    conversation = await archived.create(BOB, ANN)
    seq = await archived.send(conversation, ANN, SECRET)
    keys = conversation_keys(conversation)
    await archived.redis.hset(keys.meta, "thread", f"{conversation}@1")
    assert await archived.archive.add(conversation, 1, seq)
    with pytest.raises(Refused) as refused:
        await archived.log.delete_message(conversation, ANN, seq, asked(), forget=True)
    assert refused.value.code == "not_allowed"
    assert await archived.log.delete_message(conversation, ANN, seq, asked()) == [seq]
    assert await archived.redis.smembers(keys.retired) == set()
    assert await archived.log.delete_message(conversation, SHOP, seq, asked(SHOP), forget=True) == []
    assert await archived.redis.smembers(keys.retired) == {f"{conversation}@1"}
    assert await archived.redis.hget(keys.meta, "thread") == ""


async def test_the_command_does_not_call_a_user_deleted_whose_archive_it_cannot_reach(archived: Archived) -> None:
    conversation = await archived.create(BOB, EVE)
    assert await archived.archive.add(conversation, 1, await archived.send(conversation, EVE, SECRET))
    left = await archived.create(BOB, EVE)
    await archived.members.leave(BOB, left)
    environment = {**os.environ, "REDIS_URL": archived.url, "ABANDONED_KEPT": "0"}
    for url, ends, says in (("", 1, "ARCHIVE_URL"), (f"file://{archived.folder}", 0, "eve: deleted")):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "roomgraph", "user", "delete", "eve"),
            env=environment | {"ARCHIVE_URL": url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == ends
        assert says in output.decode()
        assert await archived.deletions.is_pending("eve") is (ends != 0)
    await archived.a_day_later(conversation)
    assert not archived.holds(SECRET)
    assert await archived.redis.ttl(conversation_keys(left).meta) == -1, "kept for ever, as the environment says"

"""Files go with what had them, stay where texts stay, and are in exports."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sio_server.conversation.file_records import FileRecords
from sio_server.conversation.reactions import Reactions
from sio_server.conversation.retention import Kept, Retention
from sio_server.data.export import Exports
from sio_server.files.files import Files
from sio_server.files.store import FileStore
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.store.keys import conversation_keys
from sio_server.store.scripts import Request
from tests.integration.test_archive import Archived
from tests.integration.test_user_deletion import ANN, BOB, server

__all__ = ["server"]  # a fixture


class Keeping(Archived):
    """A place with an archive, and files in a folder."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url, folder / "archive")
        self.files_folder = folder / "files"
        self.files = Files(FileStore(str(self.files_folder)), FileRecords(self.scripts), 1000)
        self.reactions = Reactions(self.scripts)

    async def attach(
        self, conversation: str, author: Any, data: bytes = b"secret text", **more: Any
    ) -> tuple[str, int]:
        file_id = await self.upload(conversation, author, data)
        return file_id, await self.send(conversation, author, "secret", file_ids=[file_id], **more)

    async def upload(self, conversation: str, author: Any, data: bytes, files: Files | None = None) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        about = await (files or self.files).upload(conversation, author.user_id, "secret.txt", chunks())
        return str(about["file_id"])

    async def there(self, conversation: str) -> set[str]:
        """The files that are stored, when what is due was removed."""
        assert await self.files.remove_due() == {}
        folder = self.files_folder / conversation
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    async def react(self, conversation: str, author: Any, seq: int) -> None:
        await self.reactions.set(conversation, author, seq, "👍", True, Request.unrepeated(author.user_id))


@pytest.fixture
async def place(server: str, tmp_path: Path) -> AsyncIterator[Keeping]:
    place = Keeping(server, tmp_path)
    await place.redis.flushall()
    yield place
    await place.redis.aclose()


async def test_an_upload_that_no_message_takes_is_removed(place: Keeping) -> None:
    conversation = await place.create(ANN, BOB)
    short = Files(FileStore(str(place.files_folder)), FileRecords(place.scripts, kept_ms=0), 1000)
    kept = await place.upload(conversation, ANN, b"in time")
    late = await place.upload(conversation, ANN, b"too late", short)
    assert await place.there(conversation) == {kept}
    with pytest.raises(Refused):
        await place.send(conversation, ANN, "x", file_ids=[late])
    # One that a message has taken stays, though its time comes.
    await place.send(conversation, ANN, "x", file_ids=[kept])
    keys = conversation_keys(conversation)
    await place.redis.zadd(keys.files_due, {f"{conversation} {kept}": 0})
    assert await place.there(conversation) == {kept}
    assert await place.redis.zcard(keys.files_due) == 0


async def test_what_a_process_left_that_died_while_uploading_is_removed(place: Keeping) -> None:
    conversation = await place.create(ANN)
    await FileRecords(place.scripts, kept_ms=0).reserve(conversation, ANN.user_id, "f.half")
    (place.files_folder / conversation).mkdir()
    (place.files_folder / conversation / "f.half").write_bytes(b"half")
    assert await place.there(conversation) == set()


async def test_a_storage_that_is_away_is_asked_again(place: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = await place.create(ANN, BOB)
    file_id, seq = await place.attach(conversation, ANN)
    await place.log.delete_message(conversation, ANN, seq, Request.unrepeated(ANN.user_id))

    async def away(self: FileStore, name: str) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(FileStore, "delete", away)
        assert list(await place.files.remove_due()) == [f"{conversation} {file_id}"]
    assert await place.there(conversation) == set()


async def test_files_and_reactions_go_with_entries_by_retention(place: Keeping) -> None:
    conversation = await place.create(ANN, BOB)
    old, seq = await place.attach(conversation, ANN)
    await place.react(conversation, BOB, seq)
    for _ in range(120):
        await place.send(conversation, ANN, "public")
    new, seq = await place.attach(conversation, ANN)
    await place.react(conversation, BOB, seq)
    await Retention(place.scripts, Kept(entries=100)).sweep()
    assert await place.there(conversation) == {new}
    keys = conversation_keys(conversation)
    assert await place.redis.hkeys(keys.files) == [new]
    assert await place.redis.hkeys(keys.reactions) == [f"{seq} {BOB.user_id}"]
    assert old != new


async def test_an_archived_message_keeps_its_files_until_it_is_deleted(place: Keeping) -> None:
    conversation = await place.create(ANN, BOB)
    file_id, seq = await place.attach(conversation, ANN)
    for _ in range(220):
        await place.send(conversation, BOB, "public")
    await place.due(conversation)
    assert (await place.entries_of(conversation))[seq - 1]["data"]["files"][0]["file_id"] == file_id
    assert await place.there(conversation) == {file_id}
    answer = await place.send(conversation, BOB, "to an archived one", reply_to=seq)
    with pytest.raises(Refused):
        await place.send(conversation, BOB, "to a joining", reply_to=1)
    await place.log.delete_message(conversation, ANN, seq, Request.unrepeated(ANN.user_id))
    assert await place.there(conversation) == set()
    assert answer > seq


@pytest.mark.parametrize("pseudonymise", [False, True])
async def test_a_deleted_users_files_go_or_stay_as_the_texts_do(place: Keeping, pseudonymise: bool) -> None:
    shared, alone = await place.create(ANN, BOB), await place.create(ANN)
    anns, seq = await place.attach(shared, ANN, b"public")
    bobs, _ = await place.attach(shared, BOB, b"public")
    await place.attach(alone, ANN)
    await place.upload(shared, ANN, b"in no message")
    await place.react(shared, ANN, seq)
    await place.deletions.begin(ANN.user_id, pseudonymise=pseudonymise)
    await place.deletions.carry_out(ANN.user_id)
    assert await place.there(shared) == ({anns, bobs} if pseudonymise else {bobs})
    assert await place.there(alone) == set()
    await place.due(shared)  # the log is written again
    assert await place.named("ann.secret") == []
    reactions = [one["data"] for one in await place.entries(shared) if one["type"] == "reaction_changed"]
    assert [one["user_id"].startswith("deleted.") for one in reactions] == [True]


async def test_a_conversation_that_was_abandoned_or_made_again_keeps_no_old_files(place: Keeping) -> None:
    conversation = await place.create(ANN)
    await place.attach(conversation, ANN)
    keys = conversation_keys(conversation)
    await place.redis.delete(*[key async for key in place.redis.scan_iter(f"*:conv:{conversation}:*")])
    await Retention(place.scripts, Kept(), has_files=True).sweep()
    assert await place.redis.zrange(keys.files_due, 0, -1) == [f"{conversation} *"]
    # Those of a newer conversation of the same id are not touched.
    await place.redis.hset(keys.files, "f.new", "3 ann {}")
    (place.files_folder / conversation / "f.new").write_bytes(b"new")
    assert await place.there(conversation) == {"f.new"}


async def test_exports_hold_the_files(place: Keeping) -> None:
    conversation = await place.create(ANN, BOB)
    data = uuid.uuid4().bytes * 50
    file_id, _ = await place.attach(conversation, ANN, data)
    lost, _ = await place.attach(conversation, ANN)
    (place.files_folder / conversation / lost).unlink()
    exports = Exports(place.redis, place.log, place.members, place.files)
    for lines in (exports.conversation(conversation), exports.user(ANN.user_id)):
        found = [json.loads(line) async for line in lines]
        files = [one for one in found if one["kind"] == "file"]
        assert [(one["file_id"], one["offset"]) for one in files] == [(file_id, 0)]
        assert base64.b64decode(files[0]["data"]) == data
        assert [one["file_id"] for one in found if one["kind"] == "missing_file"] == [lost]
        assert found[-1]["kind"] == "end"


async def test_a_large_file_is_written_and_read_in_parts(place: Keeping) -> None:
    store = FileStore(str(place.files_folder))
    part = bytes(range(256)) * 4096

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(7):
            yield part

    assert await store.put("c/large", chunks()) == 7 * len(part)
    read = b"".join([chunk async for chunk in store.stream("c/large")])
    assert read == part * 7

    async def broken() -> AsyncIterator[bytes]:
        yield part * 3
        raise Refused("payload_too_large", "too large")

    with pytest.raises(Refused):
        await store.put("c/broken", broken())
    assert await store.names_of("c") == ["large"]

"""A user who is deleted is nowhere any more, whenever the process that does it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.data.naming import renamed
from sio_server.data.user_deletion import NAME, UserDeletion
from sio_server.protocol.entries import LoggedEntry
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.protocol.events import ConversationCreate
from sio_server.store.connection import connect
from sio_server.store.keys import DELETIONS, conversation_keys, user_signed_out
from sio_server.store.scripts import Reply, Request, Scripts
from sio_server.users.sign_out import RefusedTokens
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.waiting import within

ANN = Author("ann.secret", "Ann Secret", "anns-device", "Ann's laptop")
BOB = Author("bob", "Bob", "phone")
EVE = Author("eve.secret", "Eve Secret", "eves-device")
SHOP = Author("service:shop", "shop", "api", "shop")


class Died(Exception):
    """The process that deletes is gone."""


class DyingScripts(Scripts):
    """Carries out so many scripts, and dies after the last one."""

    left = 10**9

    async def _run(self, *args: Any, **more: Any) -> Reply:
        reply = await super()._run(*args, **more)
        self.left -= 1
        if self.left <= 0:
            raise Died
        return reply


class Place:
    """A Redis with conversations of Ann and Bob."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis: Any = connect(url)
        self.scripts = DyingScripts(self.redis)
        self.log = ConversationLog(self.scripts)
        self.members = Members(self.redis, self.scripts, self.log, retention=0)
        self.deletions = UserDeletion(
            self.redis, self.scripts, self.members, RefusedTokens(self.redis, self.scripts)
        )

    async def create(self, owner: Author, *others: Author) -> str:
        request = ConversationCreate(request_id=uuid.uuid4().hex, agent="off", graph="work")
        conversation, _ = await self.members.create(owner, request)
        for other in others:
            await self.members.join(other, conversation, admitted_by=SHOP)
        return conversation

    async def send(self, conversation: str, author: Author, text: str, **more: Any) -> int:
        ack, _ = await self.log.append_message(
            conversation, author, uuid.uuid4().hex, text, run_id=uuid.uuid4().hex, **more
        )
        return int(ack["seq"])

    async def entries(self, conversation: str) -> list[dict[str, Any]]:
        page = await self.log.page(conversation, "bob", after=0, limit=200)
        found = [json.loads(text) for _, text in page.entries]
        for entry in found:
            LoggedEntry.model_validate(entry)
        assert [entry["seq"] for entry in found] == list(range(1, page.bounds.head + 1))
        return found

    async def entries_of(self, conversation: str) -> list[dict[str, Any]]:
        """All entries, however many."""
        found: list[dict[str, Any]] = []
        while page := (await self.log.page(conversation, "bob", after=len(found), limit=200)).entries:
            found += [json.loads(text) for _, text in page]
        return found

    async def named(self, what: str = "secret") -> list[str]:
        """Keys with this in them or in their names, but for what has to stay or expires within a day."""
        await self.redis.config_set("rdbcompression", "no")  # of what DUMP gives
        found = []
        async for key in self.redis.scan_iter(count=1000):
            dump = await self.redis.execute_command("DUMP", key, NEVER_DECODE=True)
            in_it = what.encode() in (dump or b"").lower() or what in str(key)
            if in_it and str(key) != user_signed_out(ANN.user_id) and not 0 < await self.redis.ttl(key) <= 86_400:
                found.append(str(key))
        return found


@pytest.fixture(scope="module")
async def server(tmp_path_factory) -> AsyncIterator[str]:
    async with bare_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield f"redis://127.0.0.1:{port_of(redis)}/0"


@pytest.fixture
async def place(server: str) -> AsyncIterator[Place]:
    place = Place(server)
    await place.redis.flushall()
    yield place
    await place.redis.aclose()


async def filled(place: Place) -> tuple[str, str, str]:
    """Conversations: of Ann with Bob, of Bob with Ann who has left, and of Ann alone."""
    shared = await place.create(ANN, BOB)
    for number in range(3):
        await place.send(shared, ANN, f"secret {number}")
        await place.send(shared, BOB, f"public {number}")
    edited = await place.send(shared, ANN, "secret, edited")
    await place.send(shared, ANN, "edited secret", edits=edited)
    await place.log.marks.save_draft(shared, ANN, "unsent", request=Request.unrepeated(ANN.user_id))
    bobs = await place.create(BOB, ANN)
    await place.send(bobs, ANN, "secret words")
    await place.members.leave(ANN, bobs)
    alone = await place.create(ANN)
    await place.send(alone, ANN, "a secret diary")
    return shared, bobs, alone


@pytest.mark.parametrize("pseudonymise", [False, True])
async def test_nothing_names_a_deleted_user_and_nothing_of_others_is_lost(
    place: Place, pseudonymise: bool
) -> None:
    shared, bobs, alone = await filled(place)
    before = await place.entries(shared)
    deletion = await place.deletions.begin(ANN.user_id, pseudonymise=pseudonymise)
    await place.deletions.resume()
    assert not await place.deletions.is_pending(ANN.user_id)
    assert not await place.redis.exists(conversation_keys(alone).meta)
    after = await place.entries(shared)
    assert len(after) > len(before)
    for old, new in zip(before, after, strict=False):
        assert (old["type"], old["ts"], old.get("hides")) == (new["type"], new["ts"], new.get("hides"))
        if old["type"] == "message" and old["data"]["user_id"] == ANN.user_id:
            assert (new["data"]["user_id"], new["data"]["name"]) == (deletion.pseudonym, NAME)
            assert new["data"]["text"] == (old["data"]["text"] if pseudonymise else "")
        elif old["data"]["user_id"] == "bob":
            assert {**new["data"], "by": None} == {**old["data"], "by": None}
    view = await place.log.get_view(shared, "bob")
    assert (view.owner, view.role) == ("bob", "owner")
    assert [entry["data"]["name"] for entry in await place.entries(bobs)].count(NAME) >= 3
    for conversation in (shared, bobs):  # the next sweep writes logs again
        keys = conversation_keys(conversation)
        await swept(place, conversation)
        assert not await place.redis.hexists(keys.meta, "rewrite")
    assert await place.named("anns-device") == []
    left = await place.named()
    if pseudonymise:  # what was said is kept
        assert {key.rpartition(":")[2] for key in left} <= {"log", "deleted"}
        assert await place.named(ANN.user_id) == []
    else:
        assert left == []
    mark = str(await place.redis.hget(user_signed_out(ANN.user_id), "*"))
    assert int(mark.split()[0]) > 0  # her tokens are refused


async def swept(place: Place, conversation: str) -> None:
    """The log is written again, as a sweep does."""
    kept = {"retention": 0, "entries_kept_ms": 0, "results_kept_ms": 0}
    await place.scripts.conversation(
        "sweep", conversation, since_ms=1, at_most=200, has_files=False, archives=False, **kept
    )


async def test_a_deletion_that_dies_after_any_step_is_finished_by_the_next_process(place: Place) -> None:
    shared, bobs, alone = await filled(place)
    silent = await place.create(BOB, ANN)  # where she has never written
    await place.deletions.begin(ANN.user_id)
    deaths = 0
    for steps in range(1, 200):
        place.scripts.left = steps
        try:
            await place.deletions.resume()
        except Died:
            deaths += 1
            assert await place.deletions.is_pending(ANN.user_id)
            continue
        break
    assert deaths > 5
    place.scripts.left = 10**9
    assert not await place.deletions.is_pending(ANN.user_id)
    texts = [entry["data"].get("text") for entry in await place.entries(shared)]
    assert [text for text in texts if text] == [f"public {number}" for number in range(3)]
    told = [
        entry["data"]["deletes"] for entry in await place.entries(shared) if entry["type"] == "message_deleted"
    ]
    assert len(told) == 1, "nothing is deleted twice"
    for conversation in (shared, bobs, silent):
        await swept(place, conversation)
    assert await place.named() == []
    joined = [entry for entry in await place.entries(silent) if entry["type"] in ("member_joined", "member_left")]
    assert [entry["data"]["name"] for entry in joined] == [NAME, NAME]
    assert not await place.redis.exists(conversation_keys(alone).meta)
    await place.deletions.begin(ANN.user_id)  # again, which finds nothing
    n = [await place.redis.hget(conversation_keys(one).meta, "n") for one in (shared, bobs)]
    await place.deletions.resume()
    assert [await place.redis.hget(conversation_keys(one).meta, "n") for one in (shared, bobs)] == n


@pytest.mark.parametrize("last", ["pass_on", "leave", "read_stored", "erase_entries"])
async def test_a_member_who_never_wrote_is_found_again_whichever_step_was_the_last(
    place: Place, monkeypatch, last: str
) -> None:
    conversation = await place.create(BOB, ANN)
    run = place.scripts.conversation

    async def dying(name: str, *args: Any, **more: Any) -> Reply:
        reply = await run(name, *args, **more)
        if name == last:
            raise Died
        return reply

    await place.deletions.begin(ANN.user_id)
    monkeypatch.setattr(place.scripts, "conversation", dying)
    with pytest.raises(Died):
        await place.deletions.resume()
    monkeypatch.setattr(place.scripts, "conversation", run)
    assert await place.deletions.resume() == {}
    await swept(place, conversation)
    assert await place.named() == []


async def test_a_former_member_who_never_wrote_is_deleted_as_well(place: Place) -> None:
    conversation = await place.create(BOB, ANN)
    await place.members.leave(ANN, conversation)
    await place.deletions.begin(ANN.user_id)
    assert await place.deletions.resume() == {}
    await swept(place, conversation)
    assert await place.named() == []


class StoppingRelay:
    """Passes bytes on to a Redis, up to the n-th command that names a conversation: that one it holds back."""

    def __init__(self, port: int, what: str, passes: int) -> None:
        self._port, self._what, self._left = port, what.encode(), passes
        self.stopped = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        its_reader, its_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._tasks += [asyncio.create_task(self._pass(reader, its_writer, is_command=True))]
        self._tasks += [asyncio.create_task(self._pass(its_reader, writer, is_command=False))]

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_command: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if is_command and self._what in data:
                    self._left -= 1
                    if self._left < 0:
                        self.stopped.set()
                if self.stopped.is_set() and is_command:
                    break
                writer.write(data)
        writer.close()

    async def aclose(self) -> None:
        await asyncio.wait(self._tasks, timeout=10)


async def test_a_killed_command_is_continued_by_a_node(place: Place) -> None:
    conversation = await place.create(BOB, ANN)
    for number in range(40):
        await place.send(conversation, ANN, f"secret {number}")
    # After it has looked for conversations, and has made somebody else the owner.
    relay = StoppingRelay(int(place.url.rpartition(":")[2].partition("/")[0]), conversation, passes=3)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roomgraph", "user", "delete", ANN.user_id), env={**os.environ, "REDIS_URL": url}
    )
    async with within(60.0, "the command has begun"):
        await relay.stopped.wait()
    process.kill()
    await process.wait()
    server.close()
    await relay.aclose()
    assert await place.redis.exists(DELETIONS), "it had not ended"
    assert await place.deletions.resume() == {}
    texts = [entry["data"].get("text") for entry in await place.entries(conversation)]
    assert not any(texts)
    assert not await place.redis.exists(DELETIONS)


async def test_entries_that_were_deleted_before_lose_the_user_as_well(place: Place) -> None:
    conversation = await place.create(BOB, ANN)
    seqs = [await place.send(conversation, ANN, f"secret {number}") for number in range(2)]
    await place.log.delete_message(conversation, ANN, seqs[0], Request.unrepeated(ANN.user_id))
    await place.deletions.begin(ANN.user_id)
    assert await place.deletions.resume() == {}
    await swept(place, conversation)
    assert await place.named() == []
    entries = await place.entries(conversation)
    assert [entries[seq - 1]["data"]["name"] for seq in seqs] == [NAME, NAME]


async def test_an_entry_that_changes_while_the_user_is_deleted_is_looked_at_again(
    place: Place, monkeypatch
) -> None:
    conversation = await place.create(BOB, ANN)
    seqs = [await place.send(conversation, ANN, f"secret {number}") for number in range(2)]
    run = place.scripts.conversation

    async def interrupted(name: str, *args: Any, **more: Any) -> Reply:
        reply = await run(name, *args, **more)
        if name == "read_stored":
            monkeypatch.setattr(place.scripts, "conversation", run)
            await place.log.delete_message(conversation, SHOP, seqs[0], Request.unrepeated(SHOP.user_id))
        return reply

    monkeypatch.setattr(place.scripts, "conversation", interrupted)
    await place.deletions.begin(ANN.user_id)
    assert await place.deletions.resume() == {}
    await swept(place, conversation)
    assert await place.named() == []


async def test_a_conversation_that_is_joined_while_the_user_is_deleted_is_left_again(
    place: Place, monkeypatch
) -> None:
    conversations = [await place.create(BOB, ANN) for _ in range(3)]
    run = place.scripts.conversation

    async def interrupted(name: str, conversation: str, *args: Any, **more: Any) -> Reply:
        reply = await run(name, conversation, *args, **more)
        if name == "forget_user":
            monkeypatch.setattr(place.scripts, "conversation", run)
            await place.members.join(ANN, conversation, admitted_by=SHOP)
        return reply

    monkeypatch.setattr(place.scripts, "conversation", interrupted)
    await place.deletions.begin(ANN.user_id)
    assert await place.deletions.resume() == {}
    for conversation in conversations:
        await swept(place, conversation)
        assert (await place.log.get_view(conversation, "bob")).owner == "bob"
    assert await place.named() == []


async def test_a_deletion_that_fails_with_one_conversation_does_all_others_and_stays_pending(
    place: Place, monkeypatch
) -> None:
    first, second = await place.create(BOB, ANN, EVE), await place.create(BOB, ANN)
    only_eve = await place.create(BOB, EVE)
    for conversation in (first, second):
        await place.send(conversation, ANN, "secret")
    run = place.scripts.conversation

    async def failing(name: str, conversation: str, *args: Any, **more: Any) -> Reply:
        if name == "pass_on" and conversation == first and more["user_id"] == ANN.user_id:
            raise Unavailable("out of memory")
        return await run(name, conversation, *args, **more)

    monkeypatch.setattr(place.scripts, "conversation", failing)
    await place.deletions.begin(ANN.user_id)
    await place.deletions.begin(EVE.user_id)
    assert list(await place.deletions.resume()) == [ANN.user_id]
    assert await place.deletions.is_pending(ANN.user_id)
    assert not await place.deletions.is_pending(EVE.user_id)
    assert not any(entry["data"].get("text") for entry in await place.entries(second))
    assert any(entry["data"].get("text") for entry in await place.entries(first))
    assert EVE.user_id not in await place.redis.hgetall(conversation_keys(only_eve).members)
    monkeypatch.setattr(place.scripts, "conversation", run)
    assert await place.deletions.resume() == {}
    assert not any(entry["data"].get("text") for entry in await place.entries(first))


async def test_a_deletion_that_has_begun_cannot_be_made_another_one(place: Place) -> None:
    await place.deletions.begin(ANN.user_id, pseudonymise=True)
    with pytest.raises(Refused, match="with a pseudonym"):
        await place.deletions.begin(ANN.user_id)
    assert (await place.deletions.begin(ANN.user_id, pseudonymise=True)).pseudonymise


async def test_all_that_is_written_into_an_expiring_conversation_expires_with_it(place: Place) -> None:
    conversation = await place.create(ANN, BOB)
    first = await place.send(conversation, ANN, "secret")
    await place.log.delete_message(conversation, ANN, first, Request.unrepeated(ANN.user_id))
    for user in (ANN, BOB):
        await place.members.leave(user, conversation)
    keys = conversation_keys(conversation)
    week_s = await place.redis.ttl(keys.meta)
    assert week_s > 6 * 86_400
    await place.redis.delete(keys.usage, keys.sent, keys.touched)

    async def lifetimes() -> set[int]:
        named = [key async for key in place.redis.scan_iter(match=f"*{conversation}*")]
        assert keys.log in named
        return {await place.redis.ttl(key) for key in named if ":request:" not in key and ":call:" not in key}

    await swept(place, conversation)
    assert -1 not in await lifetimes()
    old = await place.send(conversation, SHOP, "one")
    await place.send(conversation, SHOP, "two", edits=old)
    await place.log.delete_message(conversation, SHOP, old + 1, Request.unrepeated(SHOP.user_id))
    await place.scripts.conversation(
        "put_schedule",
        conversation,
        Request.unrepeated(SHOP.user_id),
        user_id=SHOP.user_id,
        schedule_id="s",
        due_ms=1,
        record="{}",
        most=9,
    )
    assert await place.redis.hlen(keys.schedules) == 1
    await place.redis.delete(keys.touched)
    await place.scripts.conversation(
        "forget_user", conversation, user_id="nobody", epoch="e", forget=False, by="{}", **{"as": "x"}
    )
    assert await place.redis.exists(keys.touched, keys.hidden, keys.deleted, keys.usage, keys.sent) == 5
    assert -1 not in await lifetimes()
    assert max(await lifetimes()) <= week_s
    # An invitation holds as long as any other.
    await place.members.invite(SHOP, conversation, ["eve"])
    assert min(await lifetimes()) > 29 * 86_400


def test_a_user_is_replaced_wherever_an_entry_names_one_and_nothing_else_is() -> None:
    by = {"user_id": "ann", "name": "Ann", "device_id": "d", "device_name": "D", "session_id": "s"}
    data = {"text": '"user_id":"ann"', "value": [{"by": by}, 1.5, None], "user_id": "bob", "name": "Bob"}
    changed = renamed(data, "ann", "p", "Gone")
    gone = {"user_id": "p", "name": "Gone", "device_id": "", "device_name": "", "session_id": ""}
    assert changed == {**data, "value": [{"by": gone}, 1.5, None]}
    assert renamed(data, "eve", "p", "Gone") is data

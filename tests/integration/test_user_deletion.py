"""A user who is deleted is nowhere any more, whenever the process that does it dies."""

from __future__ import annotations

import asyncio
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
from sio_server.protocol.events import ConversationCreate
from sio_server.store.connection import connect
from sio_server.store.keys import DELETIONS, conversation_keys, user_signed_out
from sio_server.store.scripts import Reply, Request, Scripts
from sio_server.users.sign_out import RefusedTokens
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.waiting import within

ANN = Author("ann.secret", "Ann Secret", "anns-device", "Ann's laptop")
BOB = Author("bob", "Bob", "phone")
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
        await place.scripts.conversation(
            "sweep",
            conversation,
            retention=0,
            entries_kept_ms=0,
            results_kept_ms=0,
            since_ms=1,
            at_most=200,
            archives=False,
        )
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


async def test_a_deletion_that_dies_after_any_step_is_finished_by_whoever_continues(place: Place) -> None:
    shared, bobs, alone = await filled(place)
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
    assert not await place.redis.exists(conversation_keys(alone).meta)
    await place.deletions.begin(ANN.user_id)  # again, which finds nothing
    n = [await place.redis.hget(conversation_keys(one).meta, "n") for one in (shared, bobs)]
    await place.deletions.resume()
    assert [await place.redis.hget(conversation_keys(one).meta, "n") for one in (shared, bobs)] == n


async def test_a_killed_command_is_continued_by_a_node(place: Place) -> None:
    conversation = await place.create(BOB, ANN)
    for number in range(40):
        await place.send(conversation, ANN, f"secret {number}")
    environment = {**os.environ, "REDIS_URL": place.url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roomgraph", "user", "delete", ANN.user_id), env=environment
    )
    async with within(60.0, "the command has begun"):
        while not await place.redis.exists(DELETIONS) and process.returncode is None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    if process.returncode is None:
        process.kill()
    await process.wait()
    await place.deletions.resume()
    texts = [entry["data"].get("text") for entry in await place.entries(conversation)]
    assert not any(texts)
    assert not await place.redis.exists(DELETIONS)


def test_a_user_is_replaced_wherever_an_entry_names_one_and_nothing_else_is() -> None:
    by = {"user_id": "ann", "name": "Ann", "device_id": "d", "device_name": "D", "session_id": "s"}
    data = {"text": '"user_id":"ann"', "value": [{"by": by}, 1.5, None], "user_id": "bob", "name": "Bob"}
    changed = renamed(data, "ann", "p", "Gone")
    gone = {"user_id": "p", "name": "Gone", "device_id": "", "device_name": "", "session_id": ""}
    assert changed == {**data, "value": [{"by": gone}, 1.5, None]}
    assert renamed(data, "eve", "p", "Gone") is data

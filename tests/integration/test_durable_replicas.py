"""With DURABLE_REPLICAS an ack means that so many replicas have what was acked, also the ack of a repetition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.turns import AlreadyResolved, Turns
from sio_server.data.user_deletion import UserDeletion
from sio_server.local.cluster import LocalCluster
from sio_server.local.proxy import Proxy
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.protocol.events import ConversationCreate
from sio_server.store import script_files
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import connect, connect_bytes
from sio_server.store.durable import TooFewReplicas, is_promise
from sio_server.store.keys import DELETIONS
from sio_server.store.pipelined import LoadedScript
from sio_server.store.script_files import load_script
from sio_server.store.scripts import Request, Scripts
from sio_server.users.sign_out import RefusedTokens
from tests.conftest import free_ports
from tests.integration.test_lost_replies import everything
from tests.integration.test_redis_connection import is_in_step, port_of, redis_pair
from tests.waiting import poll, within

ANN = Author("ann", "Ann", "d-ann")
ANSWERED_S = 2.0


class Pair:
    """A primary and its replica behind a proxy, and logs that wait for one replica."""

    def __init__(self, primary: Redis, replica: Redis, proxy: Proxy) -> None:
        self.primary = primary
        self.replica = replica
        self.url = f"redis://127.0.0.1:{port_of(primary)}/0"
        self._proxy = proxy
        self.client = connect(self.url, replicas=1)
        self.log = ConversationLog(Scripts(self.client))

    async def create(self, conversation_id: str = "plans", client: BoundedRedis | None = None) -> None:
        scripts = Scripts(client or self.client)
        members = Members(scripts.redis, scripts, ConversationLog(scripts), retention=0)
        new = ConversationCreate(
            request_id=f"create-{conversation_id}", conversation_id=conversation_id, access="open", agent="off"
        )
        await members.create(ANN, new)

    def cut(self) -> None:
        """The replica stays connected, and is not reached by what is written."""
        self._proxy.down.blackhole = True

    def mend(self) -> None:
        self._proxy.down.blackhole = False

    async def waits(self) -> int:
        return int((await self.primary.info("commandstats")).get("cmdstat_wait", {"calls": 0})["calls"])


@pytest.fixture
async def pair(tmp_path) -> AsyncIterator[Pair]:
    async with redis_pair(tmp_path) as (primary, replica, proxy):
        await replica.replicaof("127.0.0.1", str(proxy.port))
        await poll(lambda: is_in_step(replica))
        made = Pair(primary, replica, proxy)
        await made.create()
        yield made
        await made.client.aclose()


async def send(log: ConversationLog, request_id: str) -> int:
    """The seq that was acked."""
    ack, _ = await log.append_message("plans", ANN, request_id, "hello", run_id="r")
    return int(ack["seq"])


@asynccontextmanager
async def another_node(pair: Pair) -> AsyncIterator[BoundedRedis]:
    """Connections that have written nothing yet: they are told at once that the replicas have all of it."""
    client = connect(pair.url, replicas=1)
    yield client
    await client.aclose()


async def test_what_was_acked_is_on_the_replica_and_what_is_not_is_unavailable_until_it_is(pair):
    first = await send(pair.log, "first")
    on_replica = await pair.replica.xlen((await pair.replica.keys("*:conv:plans:log"))[0])
    assert on_replica == first == 2
    pair.cut()
    began = time.monotonic()
    with pytest.raises(Unavailable, match="waits for its replicas"):
        await send(pair.log, "second")
    assert time.monotonic() - began < ANSWERED_S
    async with another_node(pair) as client:
        elsewhere = ConversationLog(Scripts(client))
        with pytest.raises(Unavailable, match="waits for its replicas"):
            await send(elsewhere, "second")
        pair.mend()
        ack = await send(elsewhere, "second")
    assert ack == 3
    assert await pair.replica.xlen((await pair.replica.keys("*:conv:plans:log"))[0]) == 3, "once"


async def test_a_request_without_an_entry_of_its_own_is_not_acked_by_its_repetition_either(pair):
    pair.cut()
    with pytest.raises(Unavailable, match="waits for its replicas"):
        await pair.create("other")
    async with another_node(pair) as client:
        with pytest.raises(Unavailable, match="waits for its replicas"):
            await pair.create("other", client)
        pair.mend()
        await pair.create("other", client)


async def test_the_order_to_delete_a_user_is_accepted_when_the_replicas_have_it(pair):
    scripts = Scripts(pair.client)
    members = Members(pair.client, scripts, pair.log, retention=0)
    deletions = UserDeletion(pair.client, scripts, members, RefusedTokens(pair.client, scripts))
    pair.cut()
    with pytest.raises(Unavailable, match="waits for its replicas"):
        await deletions.begin("bob")
    pair.mend()
    first = await deletions.begin("bob")
    assert first.pseudonym in str(await pair.replica.hget(DELETIONS, "bob"))
    assert await deletions.begin("bob") == first


async def test_reading_does_not_wait_for_replicas(pair):
    await send(pair.log, "first")  # which is granted bytes for the next
    pair.cut()
    sending = asyncio.ensure_future(send(pair.log, "slow"))
    await poll(lambda: is_waiting(pair))
    assert (await pair.log.page("plans", "ann", limit=10)).bounds.head == 3
    assert not sending.done()
    with pytest.raises(Unavailable):
        await sending


async def is_waiting(pair: Pair) -> bool:
    return int((await pair.primary.info("clients"))["blocked_clients"]) > 0


async def test_messages_that_are_sent_at_once_share_a_wait_and_keep_their_order(pair):
    before = await pair.waits()
    acks = await asyncio.gather(*(send(pair.log, f"m{number}") for number in range(100)))
    assert acks == list(range(2, 102))
    assert await pair.waits() - before <= 3


async def test_a_script_that_redis_has_forgotten_is_loaded_and_still_waited_for(pair):
    await pair.primary.script_flush()
    before = await pair.waits()
    assert await send(pair.log, "first") == 2
    assert await pair.waits() > before


async def test_the_end_of_a_run_behind_its_last_checkpoint_waits_and_holds_up_no_checkpoint(pair):
    durable = LoadedScript("redis.call('SET', KEYS[1], ARGV[1]) return {'ok', ARGV[1]}", durable=True)
    other = LoadedScript("return redis.call('GET', KEYS[1])")
    client = connect_bytes(pair.url, replicas=1)
    assert await client.run_together([(other, ["n"], []), (durable, ["n"], ["1"])]) == [None, [b"ok", b"1"]]
    pair.cut()
    ending = asyncio.ensure_future(client.run_together([(other, ["n"], []), (durable, ["n"], ["2"])]))
    await poll(lambda: is_waiting(pair))
    (unwaited,) = await client.run_together([(other, ["n"], [])])
    assert unwaited == b"2"
    assert not ending.done(), "a checkpoint was written meanwhile"
    read, ended = await ending
    assert (read, type(ended)) == (b"1", TooFewReplicas)
    await client.aclose()


async def test_the_end_of_a_run_that_a_failover_has_lost_is_told_as_what_it_is_there(pair):
    once = """
        if redis.call('EXISTS', KEYS[1]) == 1 then return {'stale'} end
        redis.call('SET', KEYS[1], '')
        return {'ok'}
    """
    client = connect_bytes(pair.url, replicas=1)
    (ended,) = await client.run_together([(LoadedScript(once, durable=True), ["n"], [])])
    assert ended == ["stale"]
    await client.aclose()


async def test_a_refusal_is_told_as_what_it_is(pair):
    pair.cut()
    with pytest.raises(Refused, match="not a member"):
        await pair.log.append_message("plans", Author("bob", "Bob", "d"), "first", "hello", run_id="r")


async def test_scripts_wait_for_nobody_unless_it_is_said(pair):
    pair.cut()
    client: BoundedRedis = connect(pair.url)
    ack = await send(ConversationLog(Scripts(client)), "first")
    assert ack == 2
    await client.aclose()


@pytest.mark.parametrize(
    ("name", "durable"),
    [
        *(
            (name, True)
            for name in ("append", "create", "join", "leave", "invite", "respond", "stop", "regenerate")
        ),
        *((name, True) for name in ("finish_run", "revoke", "sign_out", "rename_device", "rename", "delete")),
        *((name, True) for name in ("link_device", "unlink_device")),
        *((name, True) for name in ("delete_message", "save_draft", "put_schedule", "drop_schedule")),
        *((name, True) for name in ("begin_deletion", "pass_on", "erase_entries", "forget_user", "erase_user")),
        *((name, True) for name in ("add_archived", "replace_archived")),
        *(
            (name, False)
            for name in ("move_marks", "claim_run", "get_view", "open_session", "add_written", "publish")
        ),
    ],
)
def test_the_scripts_whose_reply_is_a_promise_are_known(name, durable):
    assert load_script(name).durable is durable


async def test_scripts_that_wait_when_the_client_is_closed_are_told_so(pair):
    pair.cut()
    waiting = [asyncio.ensure_future(send(pair.log, f"m{number}")) for number in range(2)]
    await poll(lambda: is_waiting(pair))
    waiting.append(asyncio.ensure_future(send(pair.log, "behind them")))
    await asyncio.sleep(0)
    await pair.client.aclose()
    async with within(0.5, "the ends of all"):
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [Unavailable] * 3


async def test_an_error_while_sentinels_are_asked_ends_the_request_and_not_those_that_follow(pair):
    async def odd(server: Any) -> bool:
        raise ValueError("an answer that cannot be read")

    scripts = pair.client._durable
    scripts._is_undisputed = odd
    async with within(10, "the end of the request"):
        with pytest.raises(ValueError, match="cannot be read"):
            await send(pair.log, "first")
    scripts._is_undisputed = None
    async with within(10, "the ack"):
        assert await send(pair.log, "first") == 2


async def silent_repetitions(folder: Path) -> tuple[set[str], set[str]]:
    """Carry out every step there is, and each promise twice more: by the same call, and by the same request.

    Returns the scripts that were repeated, and those of them whose repetition has written nothing.
    """
    server = LocalCluster(free_ports(1), 1, folder)
    await server.start_redis()
    client, repeated, silent = connect(server.redis_url), set[str](), set[str]()
    names = {LoadedScript(file.source).sha: file for file in map(load_script, durable_scripts())}
    run_script = client.run_script

    async def changes() -> int:
        return int((await client.info("persistence"))["rdb_changes_since_last_save"])

    async def run_more(script: LoadedScript, keys: Any, args: Any, *more: Any) -> Any:
        reply = await run_script(script, keys, args, *more)
        if script.durable and is_promise(reply):
            file = names[script.sha]
            for again in (args, [*args[:-1], "another-call"]) if file.request else (args,):
                before = await changes()
                assert is_promise(await run_script(script, keys, again, *more)), file.name
                repeated.add(file.name)
                if await changes() == before:
                    silent.add(file.name)
        return reply

    vars(client)["run_script"] = run_more
    try:
        await everything(client, set())
        with pytest.raises(AlreadyResolved):  # with the answer that won, which is a promise as well
            await Turns(Scripts(client)).respond(
                "talk",
                Author("bob", "Bob", "phone"),
                "r1:0",
                "no",
                run_id="r9",
                request=Request("bob", "late", "0" * 40),
            )
    finally:
        await client.aclose()
        await server.stop()
    return repeated, silent


def durable_scripts() -> set[str]:
    server = Path(script_files.__file__).parents[1]
    found = (path.stem for folder in script_files.FOLDERS for path in (server / folder).glob("[!_]*.lua"))
    return {name for name in found if load_script(name).durable}


async def test_every_promise_that_is_repeated_writes_so_that_its_connection_waits_for_the_replicas(tmp_path):
    assert await silent_repetitions(tmp_path) == (durable_scripts(), set())


@pytest.mark.parametrize(
    ("file", "write", "found"),
    [
        ("_request", "redis.call('HSET', sent, made.by, record)", "append"),
        ("_request", "redis.call('SET', request_key, record, 'KEEPTTL')", "invite"),
        ("_once", "redis.call('SET', this_call, first_reply, 'PX', CALL_KEPT_MS)", "revoke"),
        ("finish_run", "redis.call('HSET', record, 'status', status)", "finish_run"),
        ("respond", "redis.call('HSET', resolved, interrupt_id, before)", "respond"),
        ("pass_on", "redis.call('HSET', usage, 'left ' .. user_id, 1)", "pass_on"),
        ("begin_deletion", "redis.call('HSET', deletions, user_id, found)", "begin_deletion"),
    ],
)
async def test_a_repetition_that_writes_nothing_would_be_found(tmp_path, monkeypatch, file, write, found):
    original = script_files._source

    def source(name: str) -> str:
        text = original(name)
        assert name != f"{file}.lua" or write in text
        return text.replace(write, "local _ = 0", 1) if name == f"{file}.lua" else text

    monkeypatch.setattr(script_files, "_source", source)
    _, silent = await silent_repetitions(tmp_path)
    assert found in silent

"""A reply of Redis that is lost after its command was done changes nothing: no log, no key, nothing on the bus.

Every step that the project asks of Redis is carried out twice in the same order: once undisturbed, and once with
the reply to every single command cut off on its way, so that the client repeats each of them. All keys, all that
was published and all that was answered must be the same.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
from collections.abc import Awaitable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from redis.asyncio import Redis

from sio_server.cluster.nodes import Nodes
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog, Handed
from sio_server.conversation.members import Members
from sio_server.conversation.quotas import DAY_MS, Quotas
from sio_server.conversation.retention import Kept, Retention
from sio_server.conversation.runs import Batch, ClaimedRun, Runs
from sio_server.conversation.schedules import Schedules
from sio_server.conversation.search import Search
from sio_server.conversation.turns import Turns
from sio_server.data.archive import Archive
from sio_server.data.archive_store import ArchiveStore
from sio_server.data.user_deletion import Deletion, UserDeletion
from sio_server.gateway.api.hook_lanes import HookLanes, Lane
from sio_server.local.cluster import LocalCluster
from sio_server.local.proxy import Proxy
from sio_server.protocol.events import ENTRY_BYTES_SHOWN, ConversationCreate
from sio_server.protocol.position import Position
from sio_server.protocol.run import RunStatus
from sio_server.store import script_files
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import connect
from sio_server.store.emitter import Emitter
from sio_server.store.keys import REVOCATIONS, conversation_channel, stats, user_channel, user_last_end
from sio_server.store.partitions import partition
from sio_server.store.scripts import Request, Scripts
from sio_server.users.device_links import DeviceLink, DeviceLinks
from sio_server.users.devices import Devices
from sio_server.users.session_records import LiveSession, SessionRecords
from sio_server.users.sign_out import RefusedTokens
from tests.bus import hearing
from tests.conftest import free_ports
from tests.marking import mark_delivered, mark_read, save_draft

ANN = Author("ann", "Ann", "laptop", "Laptop")
BOB = Author("bob", "Bob", "phone", "Phone")
ROOM = "talk"


class NotingScripts(Scripts):
    """Notes which scripts have been run."""

    def __init__(self, redis: Redis, ran: set[str]) -> None:
        super().__init__(redis)
        self._ran = ran

    def _script(self, name: str) -> Any:
        self._ran.add(name)
        return super()._script(name)


async def everything(redis: BoundedRedis, ran: set[str]) -> list[Any]:
    """Every step there is, in an order in which it does something; returns what each answered."""
    scripts = NotingScripts(redis, ran)
    quotas = Quotas(conversations=5, bytes=200_000, invitations=10)
    log = ConversationLog(scripts, None, quotas)
    members = Members(redis, scripts, log, retention=100, quotas=quotas)
    devices = Devices(redis, scripts, users_kept_ms=DAY_MS)
    records = SessionRecords(redis, scripts, users_kept_ms=DAY_MS)
    links = DeviceLinks(redis, scripts, "secret")
    refused_tokens = RefusedTokens(redis, scripts, users_kept_ms=DAY_MS)
    turns = Turns(scripts)
    runs = Runs(scripts, "n1-abc", "n1")
    nodes = Nodes(redis, scripts, "n1-abc", {"name": "n1", "host": "h", "port": "1", "started": "s"})
    answers: list[Any] = []

    async def do(step: Awaitable[Any]) -> Any:
        answers.append(await step)
        return answers[-1]

    def session(number: int, author: Author) -> LiveSession:
        return LiveSession(f"s{number}", author.user_id, author.device_id, author.device_name, "n1", "t", 1)

    async def send(author: Author, request_id: str, text: str, **more: Any) -> dict[str, Any]:
        # Whether it is new says the last try only, and is for counting.
        ack, _ = await log.append_message(ROOM, author, request_id, text, **more)
        answers.append(ack)
        return ack

    numbers = count(1)

    def asked(author: Author) -> Request:
        return Request(author.user_id, f"request-{next(numbers)}", "0" * 40)

    async def take() -> ClaimedRun:
        taken = await do(runs.claim_run(ROOM))
        assert isinstance(taken, ClaimedRun), taken
        return taken

    async def end(run: ClaimedRun, status: RunStatus, size: int = 1, **more: Any) -> None:
        data = {"text": "x" * size, **({"interrupts": []} if more else {})}
        await do(runs.finish_run(run, status, data, threads_kept=2, **more))

    lanes = HookLanes(scripts, "n1-abc", ["shop"])
    await do(lanes.open())
    beat = await nodes.heartbeat()
    answers.append(beat.dead)
    await do(nodes.names())
    await do(records.open(session(1, ANN)))
    create = ConversationCreate(
        request_id="create", conversation_id=ROOM, access="open", agent="always", invite=["carl"]
    )
    await do(members.create(ANN, create))
    await do(members.invite(ANN, ROOM, ["bob", "dora"], asked(ANN)))
    await do(members.join(BOB, ROOM, asked(BOB)))
    await do(records.open(session(2, BOB)))
    await do(devices.rename("s2", "bob", "phone", "My phone", asked(BOB)))
    await do(devices.listed("bob"))
    await send(ANN, "c1", "hello", run_id="r1")
    run = await take()
    await do(runs.adopt_thread(run))
    first = {"part": 0, "kind": "text", "speaker": "Concierge", "text": "Hi"}
    await do(runs.add_written(run, Batch(1, [first], [])))
    await do(runs.add_written(run, Batch(2, [{"part": 0, "text": " there"}], [{"number": 1, "kind": "custom"}])))
    await do(runs.add_written(run, Batch(3, [{"part": 0, "text": "", "cut": True}], [])))
    await do(runs.renew_lease(run))
    await end(run, RunStatus.INTERRUPTED, interrupts=[("r1:0", "g0"), ("r1:1", "g1")])
    await do(turns.respond(ROOM, BOB, "r1:0", "yes", run_id="r2", request=asked(BOB)))
    await do(turns.respond(ROOM, ANN, "r1:1", "no", run_id="r2", request=asked(ANN)))
    run = await take()
    await do(runs.hand_over_run(run))
    run = await take()
    await do(runs.adopt_thread(run))
    await end(run, RunStatus.ANSWERED, size=ENTRY_BYTES_SHOWN)
    await do(runs.retire_thread(run))
    seq = (await log.get_view(ROOM, "ann")).bounds.head
    await do(log.read_long(ROOM, "bob", seq, 1))
    await do(turns.regenerate(ROOM, ANN, seq, run_id="r3", request=asked(ANN)))
    await take()
    await do(turns.stop(ROOM, BOB, None, request=asked(BOB)))
    await do(runs.forget_threads({ROOM: ["talk@x#1"]}))
    ack = await send(BOB, "c2", "wrong", run_id="r4")
    handed = Handed(ack["epoch"], ack["seq"], ack["ts"])
    await send(BOB, "c3", "right", run_id="r5", edits=ack["seq"], handed=handed)
    await do(mark_read(log, ROOM, "ann", 4))
    await do(mark_delivered(log, ROOM, "bob", "phone", 4))
    await do(save_draft(log, ROOM, "ann", "dra", request=asked(ANN)))
    await do(save_draft(log, ROOM, "ann", "draft", request=asked(ANN)))
    await do(log.page(ROOM, "ann", limit=5))
    await do(log.check_member(ROOM, "ann"))
    await do(log.read_missed(ROOM, "ann", None, snapshot=5, limit=5, max_bytes=10_000))
    await do(members.members(ROOM, "ann"))
    await do(members.presence(ROOM, 10))
    await do(members.set_listed("ann", ROOM, asked(ANN), pinned=True, archived=True))
    await do(members.set_listed("ann", ROOM, asked(ANN), archived=False))
    configured = {"agent": "mention", "multitask_strategy": "enqueue"}
    await do(members.configure(ANN, ROOM, configured, asked(ANN)))
    await do(members.configure(ANN, ROOM, {"agent": "always"}, asked(ANN)))
    await do(log.find_time(ROOM, "ann", "2026-01-01T00:00:00.000Z"))
    search = Search(redis, scripts)
    await do(search.find("ann", "hello", conversation_id=ROOM, before=None, limit=5))
    await do(members.listing.read("ann", "Ann", after=None, limit=10, changed_since=None))
    await do(members.listing.read("dora", "Dora", after=None, limit=10, changed_since="1"))
    # What was reserved for a conversation that is gone is needed elsewhere.
    await scripts.user("reserve_bytes", "ann", conversation_id="gone", wanted=190_000, ahead=0, quota=300_000)
    for number in range(5):
        await send(ANN, f"long{number}", "x" * 15_000, run_id=f"r-long{number}")
    await do(turns.stop(ROOM, ANN, None, request=asked(ANN)))
    # The log is found to have lost its end, by a node and by a device.
    await do(log.verify(ROOM, Handed(ack["epoch"], ack["seq"], "1970-01-01T00:00:00.000Z")))
    epoch = (await log.get_view(ROOM, "ann")).bounds.epoch
    await do(log.report_ahead(ROOM, Position(epoch, 999)))
    await send(ANN, "c4", "after", run_id="r6")
    await do(members.leave(BOB, ROOM, asked(BOB)))
    private = ConversationCreate(request_id="private", access="invitation", invite=["bob"])
    made, _ = await do(members.create(ANN, private))
    await do(members.leave(ANN, made, asked(ANN)))
    await do(members.join(BOB, made, asked(BOB)))
    await do(members.leave(BOB, made, asked(BOB)))
    await redis.set(user_last_end("ann", "tablet"), '{"reason":"flooding"}')
    await do(records.close({"bob": ["s2"]}))
    await do(
        Emitter(scripts).emit("presence:changed", {"user_id": "bob", "online": False}, f"conversation:{ROOM}")
    )
    await do(records.open(session(3, Author("ann", "Ann", "tablet", "Tablet"))))
    code = await do(links.make("s1", ANN, DeviceLink("Ann", 2e9, True), asked(ANN)))
    await do(links.take(code, "another", "Another"))
    other = await do(links.make("s1", ANN, DeviceLink("Ann", 2e9, True), asked(ANN)))
    await do(links.withdraw("s1", "ann", other, asked(ANN)))
    await do(refused_tokens.sign_out("s1", ANN, "tablet", asked(ANN)))
    await do(refused_tokens.revoke("ann", "laptop"))
    await do(nodes.forget("n1-abc"))
    billing = Author("service:billing", "billing", "api", "billing")
    await do(turns.read(ROOM, billing.user_id, "r5"))
    await do(members.join(BOB, ROOM, Request("bob", "added", "0" * 40), admitted_by=billing))
    await do(members.rename(billing, ROOM, "Another title", asked(billing)))
    short = ConversationCreate(request_id="short", conversation_id="short", access="open", agent="always")
    await do(members.create(ANN, short))
    await log.append_message("short", ANN, "c5", "hello", run_id="r7")
    schedules = Schedules(scripts, log)
    record = {"text": "scheduled", "run": False, "at": None, "cron": None, "timezone": "UTC"}
    # Its id is made by chance, but of the first try.
    schedule_id = await schedules.put(ROOM, billing, 1, record, asked(billing))
    answers.append([one.record for one in await schedules.read(ROOM, billing.user_id)])
    for due in await schedules.claim():
        await schedules.carry_out(due, "r8", lambda due_ms: 2**44)
    await do(schedules.drop(ROOM, billing.user_id, schedule_id, asked(billing)))
    await do(members.delete(billing, "short", asked(billing)))
    lane = Lane("shop", partition(ROOM))
    taken, _ = await lanes.take([lane])
    answers.append([entry.type for entry in taken[lane].entries])
    told, then, *_ = taken[lane].entries
    await do(lanes.settle(lane, position=told.id))
    assert await lanes.settle(lane, failures=1, delay_ms=0, problem="HTTP 500")  # with how long it fails by now
    await do(lanes.settle(lane, position=then.id))
    answers.append([state.waiting for state in await lanes.states("shop", again=True)])
    await do(lanes.bound(set()))
    await lanes.release([lane])
    for primary in ("a1", "b1"):  # in a cluster; the second was promoted
        about = {"replid": primary, "server_id": primary, "epoch": 1, "present": primary}
        answers.append(await scripts.plain("note_primary", [stats(0)], **about))
    with TemporaryDirectory() as folder:
        archive = Archive(redis, scripts, ArchiveStore(f"file://{folder}"))
        with_older = ConversationLog(scripts, older=archive)
        await Retention(scripts, Kept()).sweep()  # a repetition finds nothing that is due
        page = await log.page(ROOM, "ann", limit=100)
        found = [json.loads(text) for _, text in page.entries]
        own = [one["seq"] for one in found if one["type"] == "message" and one["data"]["user_id"] == "ann"]
        await do(with_older.delete_message(ROOM, ANN, own[-1], asked(ANN)))
        assert await do(archive.add(ROOM, page.entries[0][0], own[0]))
        # It is in the archive: devices are told, and its object is replaced.
        await do(with_older.delete_message(ROOM, ANN, own[0], asked(ANN)))
        deletions = UserDeletion(redis, scripts, members, refused_tokens, archive)
        await do(deletions.begin("ann"))
        await refused_tokens.revoke("dora")
        await scripts.user("erase_user", "dora", refused_s=60)
        # Repeated, what was done is not found again: so only its effects are compared.
        await deletions._leave(Deletion("ann", pseudonymise=False, pseudonym="deleted.1"), ROOM)
    return answers


def plain(value: Any) -> Any:
    """As text, without what differs between any two runs: times, ids made by chance."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    text = re.sub(r"\b\d{13}(-\d+)?\b", "<ms>", text)
    text = re.sub(r"(\d+)\.[0-9a-f]{12}\b", r"\1.<call>", text)
    text = re.sub(r"\bs-[0-9a-f]{16}\b", "<schedule>", text)
    text = re.sub(r"-[0-9a-f]{8}\.jsonl", "-<object>.jsonl", text)
    return re.sub(r"\b[0-9a-f]{12}\b", "<epoch>", text)


async def dump(redis: Redis) -> dict[str, Any]:
    """All keys with their values, and whether they expire; but not the replies kept for repetitions."""
    found: dict[str, Any] = {}
    async for key in redis.scan_iter():
        if ":call:" in key or key == REVOCATIONS:  # which says by its changing that something was revoked
            continue
        kind = await redis.type(key)
        if kind == "hash":
            value: Any = sorted((await redis.hgetall(key)).items())
        elif kind == "zset":
            scored: Any = await redis.zrange(key, 0, -1, withscores=True)
            value = [[member, score if score < 1e12 else "<ms>"] for member, score in sorted(scored)]
        elif kind == "set":
            value = sorted(await redis.smembers(key))
        elif kind == "list":
            value = await redis.lrange(key, 0, -1)
        elif kind == "stream":
            entries: Any = await redis.xrange(key)
            value = [[i if ":log" in key else "", fields] for i, fields in entries]
        else:
            value = await redis.get(key)
        found[key] = [kind, value, await redis.ttl(key) >= 0]
    return dict(sorted(found.items()))


def cut_every_reply(client: BoundedRedis, proxy: Proxy) -> list[bool]:
    """Have the reply to every command of the client cut off once; returns a list with whether each was cut."""
    cuts: list[bool] = []
    call = client.pipelined.call

    def with_cut(*args: Any, **options: Any) -> asyncio.Future[Any]:
        proxy.down.cut(0)
        reply = call(*args, **options)
        reply.add_done_callback(lambda _: cuts.append(proxy.down._cut is None))
        return reply

    vars(client.pipelined)["call"] = with_cut
    return cuts


async def run(url: str, spy: Redis, ran: set[str], proxy: Proxy | None) -> tuple[list[str], int]:
    client = connect(url)
    # The scripts are known to this Redis since the first run, so what is cut off is the reply of the script.
    cuts = cut_every_reply(client, proxy) if proxy else []
    channels = [conversation_channel(ROOM), *(user_channel(user) for user in ("ann", "bob"))]
    async with hearing(spy, *channels) as ear:
        answers = await everything(client, ran)
        await spy.spublish(channels[0], "over")
        heard = []
        while (message := await ear.text()) != "over":
            # What is published beside the steps may come twice, and be lost.
            if not message.startswith('X\n42["presence:changed'):
                heard.append(message)
    state = await dump(spy)
    await client.aclose()
    lines = [plain(item) for item in (*answers, *heard, *state.items())]
    assert all(cuts), "a reply was not cut"
    return lines, len(cuts)


async def undisturbed_and_disturbed(tmp_path: Path, ran: set[str]) -> tuple[list[str], list[str], int]:
    server = LocalCluster(free_ports(1), 1, tmp_path)
    await server.start_redis()
    proxy = Proxy([("127.0.0.1", server.redis_port)])
    await proxy.start()
    results = []
    try:
        for number, through in ((1, None), (2, proxy)):
            spy = Redis(port=server.redis_port, db=number, decode_responses=True)
            port = through.port if through else server.redis_port
            results.append(await run(f"redis://127.0.0.1:{port}/{number}", spy, ran, through))
            await spy.aclose()
    finally:
        await proxy.close()
        await server.stop()
    return results[0][0], *results[1]


async def test_every_step_has_the_same_effect_when_every_reply_is_lost_once(tmp_path: Path):
    ran: set[str] = set()
    undisturbed, disturbed, cuts = await undisturbed_and_disturbed(tmp_path, ran)
    assert "\n".join(difflib.unified_diff(undisturbed, disturbed, lineterm="", n=0)) == ""
    assert cuts > 60
    server = Path(script_files.__file__).parents[1]
    # What was spent under a limit may be counted twice: that is too much, and never too little.
    steps = {path.stem for folder in script_files.FOLDERS for path in (server / folder).glob("[!_]*.lua")}
    steps -= {"spend"}
    assert ran == steps, "a script is missing here"


async def test_a_step_carried_out_twice_would_be_noticed_by_the_comparison(tmp_path: Path, monkeypatch):
    original = script_files._source

    def source(name: str) -> str:
        # Without these the scene would end early.
        if name in ("claim_run.lua", "hand_over.lua", "read_archive.lua"):
            return original(name)
        return original(name).replace("return once(", "return (function(step) return step() end)(")

    monkeypatch.setattr(script_files, "_source", source)
    undisturbed, disturbed, _ = await undisturbed_and_disturbed(tmp_path, set())
    assert disturbed != undisturbed


@pytest.mark.parametrize("given", ["1764000000000", "2026-11-23T07:12:00.844Z", "3.0123456789ab"])
def test_what_differs_between_two_runs_is_left_out_of_the_comparison_of_stores(given):
    assert given not in plain([given, 7])

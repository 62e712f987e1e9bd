"""Redis has no room, or loses the end of its file: nothing acked is lost in silence, and it goes on by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sio_clients import ChatClient, ConversationReset, guest_token
from sio_server.cluster.status import read_status
from sio_server.language import load_texts
from sio_server.local.cluster import LocalCluster
from sio_server.local.restarts import Restarts
from sio_server.protocol.events import Entry
from sio_server.store.connection import connect
from tests.conftest import NODE_SETTINGS, RawClient, free_ports
from tests.faults.load import loaded
from tests.integration.test_bus import ready, until_ready
from tests.waiting import Changes, Inbox, first_of, poll, within

pytestmark = pytest.mark.faults

SOAK = bool(os.environ.get("SOAK"))
ANSWERED_S = 2.0
LEVEL_S = 5.0


# No room


async def refused_sends(client: RawClient, prefix: str) -> None:
    """Send until a send is refused; every refusal says that it may be repeated, and comes in time."""
    loop = asyncio.get_running_loop()
    async with within(60, "a send that is refused"):
        for number in range(100_000):
            request = {"conversation_id": "c", "request_id": f"{prefix}{number}", "text": "x" * 16_000}
            began = loop.time()
            ack = await client.call("message:send", request)
            assert loop.time() - began < ANSWERED_S
            if not ack["ok"]:
                assert (ack["error"]["code"], ack["error"]["retryable"]) == ("unavailable", True), ack
                return


async def test_sends_are_refused_while_redis_has_no_memory_and_go_on_when_it_has(start_cluster):
    cluster = await start_cluster(nodes=2)
    redis = Redis.from_url(cluster.redis_url)
    _, token = await guest_token(cluster.urls[0], "Ann")
    raw = RawClient()
    await raw.connect(cluster.urls[0], {"token": token})
    await raw.call("conversation:create", {"conversation_id": "c", "access": "open", "agent": "off"})
    async with loaded(cluster, 4) as load, ChatClient(cluster.urls, token) as ann:
        talk = await ann.create(graph="echo")
        load.start(0.05)
        await load.until_acked(20)
        asked = await talk.send("a question that is asked just before the memory is full")
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", used + 200_000)
        await refused_sends(raw, "m")
        # What is there can be read meanwhile, and leases are kept.
        page = await raw.call("history:read", {"conversation_id": "c", "limit": 1})
        assert page["ok"] is True
        assert (await ready(cluster.urls[0]))[0] == 200
        await asyncio.sleep(10 if SOAK else 3)  # longer than a lease; the length of the fault
        await redis.config_set("maxmemory", 0)
        for url in cluster.urls:
            await until_ready(url, 200, 5)
        await load.until_acked(20)
        await load.stop()
        await load.judge()
        entry = await first_of(talk.entries(), lambda entry: entry.type in ("answer", "failed"), "an answer")
        assert (entry.type, entry.data["input_seq"]) == ("answer", asked.seq)
    await raw.sio.disconnect()
    await redis.aclose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB, where Redis' files will lie."""
    folder = tmp_path / "cluster" / "redis"
    folder.mkdir(parents=True)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root only")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """Take all room but so many bytes; removing the file gives it back."""
    filler = folder / "filler"
    stat = os.statvfs(folder)
    with filler.open("wb") as out:
        os.posix_fallocate(out.fileno(), 0, max(1, stat.f_bavail * stat.f_bsize - leave))
    return filler


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_sends_are_refused_while_the_disk_is_full_and_go_on_when_it_is_not(small_disk, fsync):
    cluster = LocalCluster(free_ports(2), 2, small_disk.parent, settings=NODE_SETTINGS)
    said: list[str] = []
    restarts = Restarts(cluster, load_texts("en", "sio_server.local", "up"), lambda ok, line: said.append(line))
    keeper: asyncio.Task[None] | None = None
    try:
        await cluster.start()
        async with Redis.from_url(cluster.redis_url) as redis:
            await redis.config_set("appendfsync", fsync)
        keeper = asyncio.create_task(restarts.keep())
        _, token = await guest_token(cluster.urls[0], "Ann")
        raw = RawClient()
        await raw.connect(cluster.urls[0], {"token": token})
        await raw.call("conversation:create", {"conversation_id": "c", "access": "open", "agent": "off"})
        async with loaded(cluster, 4) as load:
            load.start(0.05)
            await load.until_acked(20)
            filler = fill(small_disk, 300_000)
            await refused_sends(raw, "m")
            for _ in range(3):
                await refused_sends(raw, "n")
            assert keeper.done() is False
            filler.unlink()
            for url in cluster.urls:
                await until_ready(url, 200, 20)
            await load.until_acked(20)
            await load.stop()
            await load.judge()
        if fsync == "always":  # then Redis ends when it cannot write
            assert cluster.unexpected_ends
            assert said[-1] == "redis was restarted and is ready"
        await raw.sio.disconnect()
        # The log is whole in its file as well.
        await cluster.signal_redis(signal.SIGKILL)
        await cluster.start_redis()
        async with Redis.from_url(cluster.redis_url, decode_responses=True) as redis:
            async for key in redis.scan_iter("*:log"):
                entries: Any = await redis.xrange(key)
                seqs = [int(entry_id.split("-")[0]) for entry_id, _ in entries]
                assert seqs == list(range(1, len(seqs) + 1))
    finally:
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await cluster.stop()


# The end of the file is gone


def append_only_file(cluster: LocalCluster) -> Path:
    return max((cluster.data_dir / "redis" / "appendonlydir").glob("*.incr.aof"))


async def crash_and_truncate(cluster: LocalCluster, to: int) -> None:
    """Redis dies, and what is behind `to` bytes of its file is gone when it is started again."""
    await cluster.signal_redis(signal.SIGKILL)
    os.truncate(append_only_file(cluster), to)
    await cluster.start_redis()


async def until_nobody_is_there(cluster: LocalCluster) -> None:
    """Wait until the nodes have noticed that all devices have gone."""
    redis = connect(cluster.redis_url)

    async def is_empty() -> bool:
        return not (await read_status(redis))["active_sessions"]

    await poll(is_empty, "the end of all sessions", 10)
    await redis.aclose()


class Follower:
    """A device's view of a conversation: what it has received since it last started over."""

    def __init__(self, conversation) -> None:
        self.conversation = conversation
        self.entries: list[Entry] = []
        self.resets: list[str] = []
        self._changes = Changes(lambda: (self.texts, self.resets))
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            try:
                async for entry in self.conversation.entries():
                    self.entries.append(entry)
                    self._changes.changed()
                return
            except ConversationReset as exc:
                self.resets.append(exc.reason)
                self.entries.clear()
                self._changes.changed()

    async def reaches(self, seq: int) -> None:
        await self._changes.until(lambda: self.entries and self.entries[-1].seq == seq, f"entry {seq}", LEVEL_S)

    async def until(self, holds, timeout: float = LEVEL_S) -> None:
        await self._changes.until(lambda: holds(self), timeout=timeout)

    @property
    def texts(self) -> list[str]:
        return [entry.text for entry in self.entries if entry.type == "message"]

    def stop(self) -> None:
        self._task.cancel()


async def test_a_torn_last_record_costs_no_acked_entry_and_nobody_is_reset(start_cluster):
    cluster = await start_cluster(nodes=2)
    async with loaded(cluster, 4) as load:
        load.start()
        await load.until_acked(60)
        await load.stop()
        whole = append_only_file(cluster).stat().st_size
        # Heartbeats write each second: the torn record is theirs.
        await poll(lambda: append_only_file(cluster).stat().st_size >= whole + 200, "a heartbeat", 10)
        await cluster.signal_redis(signal.SIGKILL)
        os.truncate(append_only_file(cluster), append_only_file(cluster).stat().st_size - 7)
        await cluster.start_redis()
        ack = await load.devices[0].send(load.conversation_id, "after")
        for device in load.devices:
            assert await device.reaches(load.conversation_id, ack.seq, LEVEL_S)
            assert device.resets == []
        await load.judge()


async def test_acked_entries_that_the_file_has_lost_are_told_to_every_device(start_cluster):
    cluster = await start_cluster(nodes=3)
    tokens = [(await guest_token(url, f"On {url[-5:]}"))[1] for url in cluster.urls]
    clients = [ChatClient(cluster.urls[n:] + cluster.urls[:n], token) for n, token in enumerate(tokens)]
    for client in clients:
        await client.connect()
    try:
        for turn in range(5 if SOAK else 1):
            mine = await clients[0].create(access="open", agent="off")
            followers = [Follower(mine), *[Follower(await client.join(mine.id)) for client in clients[1:]]]
            for number in range(10):
                await mine.send(f"kept {number}")
            size = append_only_file(cluster).stat().st_size
            for number in range(10):
                last = await followers[number % 3].conversation.send(f"lost {number}")
            for follower in followers:
                await follower.reaches(last.seq)
            before = mine.position
            assert before is not None
            # One of them is away and comes back later, when the log is longer than what it has seen.
            await clients[2].go_offline()
            await crash_and_truncate(cluster, size + 40)
            sent = await asyncio.gather(
                *(f.conversation.send(f"new {turn} {n}") for n, f in enumerate(followers[:2]) for _ in range(15))
            )
            head = max(ack.seq for ack in sent)
            await clients[2].go_online()
            log = [entry.seq for entry in await mine.log()]
            assert log == list(range(1, head + 1))
            truth = await mine.log()
            for follower in followers:
                await follower.reaches(head)
                assert follower.resets == ["new_epoch"]
                assert [entry.model_dump() for entry in follower.entries] == [
                    entry.model_dump() for entry in truth[-len(follower.entries) :]
                ]
                assert follower.texts[:10] == [f"kept {n}" for n in range(10)], "what was synced is all there"
                assert not any("lost" in text for text in follower.texts)
                follower.stop()
            assert mine.position is not None
            assert {entry.epoch for entry in truth} == {mine.position.epoch} != {before.epoch}
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def test_a_device_that_has_seen_more_than_the_log_holds_begins_its_new_epoch(start_cluster):
    cluster = await start_cluster(nodes=2)
    _, token = await guest_token(cluster.urls[0], "Ann")
    _, other = await guest_token(cluster.urls[0], "Bob")
    async with ChatClient(cluster.urls, token) as ann, ChatClient(cluster.urls, other) as bob:
        mine = await ann.create(access="open", agent="off")
        views = [Follower(mine), Follower(await bob.join(mine.id))]
        await mine.send("kept")
        size = append_only_file(cluster).stat().st_size
        for number in range(3):
            last = await mine.send(f"lost {number}")
        for view in views:
            await view.reaches(last.seq)
        await ann.go_offline()
        await bob.go_offline()
        await until_nobody_is_there(cluster)
        await crash_and_truncate(cluster, size + 40)
        # The first to come back says that there was more; the second one does so too late to show it.
        await ann.go_online()
        await views[0].until(lambda f: f.resets == ["ahead_of_log"])
        for number in range(5):
            await mine.send(f"new {number}")
        await bob.go_online()
        left = ["kept", *(f"new {number}" for number in range(5))]
        for view in views:
            await view.until(lambda f: f.texts == left)
            view.stop()
        assert [view.resets for view in views] == [["ahead_of_log"], ["new_epoch"]]
        # A device's word counts once for each Redis: nobody can have everyone reset again and again.
        raw = RawClient()
        await raw.connect(cluster.urls[0], {"token": token})
        assert mine.position is not None
        position = {"epoch": mine.position.epoch, "seq": 999}
        result = await raw.call("conversation:join", {"conversation_id": mine.id, "position": position})
        assert (result["verdict"], result["reason"]) == ("reset", "ahead_of_log")
        assert result["position"]["epoch"] == mine.position.epoch
        await raw.sio.disconnect()


async def test_a_dialog_goes_on_when_its_run_was_lost_with_the_end_of_the_file(start_cluster):
    cluster = await start_cluster(nodes=2, WORD_DELAY="0.3")
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls, token) as ann:
        talk = await ann.create(graph="echo")
        follower = Follower(talk)
        await talk.send("first")
        await follower.until(lambda f: any(e.type == "answer" for e in f.entries), 20)
        written: Inbox[Any] = Inbox()
        size = append_only_file(cluster).stat().st_size
        ann.on("run:written", written)
        await talk.send("a long message of many words that is lost while somebody answers it")
        await written.first(lambda told: any(part["text"] for part in told["parts"]))
        await crash_and_truncate(cluster, size)
        await follower.until(lambda f: f.resets == ["new_epoch"], 10)
        ack = await talk.send("second")
        await follower.until(lambda f: any(e.data.get("input_seq") == ack.seq for e in f.entries), 25)
        answers = [e.data["input_seq"] for e in follower.entries if e.type in ("answer", "failed", "stopped")]
        assert answers == [2, ack.seq]
        assert follower.texts == ["first", "second"]
        follower.stop()

"""A node hears the channels of the rooms that have sessions on it, without a gap, and no others."""

from __future__ import annotations

import asyncio
import contextlib
import re
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from sio_clients import ChatClient, guest_token
from sio_server.cluster.status import read_status
from sio_server.gateway.fanout import subscriptions
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.catch_up import CatchUp
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.subscriptions import is_unknown_command
from sio_server.gateway.metrics import Metrics
from sio_server.local.cluster import LocalCluster
from sio_server.local.proxy import Proxy
from sio_server.node import Node
from sio_server.protocol.errors import Unavailable
from sio_server.settings import Settings
from sio_server.store.connection import connect
from sio_server.store.keys import channel_of, conversation_channel, room_of, user_channel
from sio_server.tasks import end_tasks
from sio_server.trace.recording import Trace
from tests.bus import framed
from tests.conftest import NODE_SETTINGS, free_ports, redis_answers
from tests.engines import engine
from tests.graphs import held
from tests.integration.test_dialog import ask
from tests.served.dialogs import ANN, Dialogs
from tests.waiting import Changes, poll

pytest_plugins = ["tests.served.dialog_fixtures"]


@dataclass
class Listener:
    """A bus that listens, and what it has heard: (room, message)."""

    bus: Bus
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    subscribed: int = 0  # how often all channels were confirmed
    changes: Changes = field(default_factory=lambda: Changes(lambda: None))

    def on_message(self, room: str, message: bytes) -> None:
        self.heard.append((room, message))
        self.changes.changed()

    def on_subscribed(self, rooms: set[str] | None) -> None:
        self.subscribed += 1
        self.changes.changed()


@contextlib.asynccontextmanager
async def listening(redis_url: str) -> AsyncIterator[Listener]:
    """A bus that is connected."""
    listener = Listener(Bus(redis_url, "n-1"))
    task = asyncio.create_task(listener.bus.listen(listener.on_message, listener.on_subscribed))
    try:
        await listener.changes.until(lambda: listener.subscribed)
        yield listener
    finally:
        await end_tasks([task])
        await listener.bus.close()


@pytest.fixture
async def listener(dialogs: Dialogs, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    """A bus on a Redis without nodes. Nothing sends heartbeats to it, and none are missed."""
    monkeypatch.setattr(subscriptions, "SILENT_AFTER_S", 600)
    monkeypatch.setattr(subscriptions, "CHECK_S", 0.02)
    async with listening(dialogs.redis_url) as made:
        yield made


async def hears(dialogs: Dialogs, channel: str) -> bool:
    """Whether somebody is subscribed to the channel."""
    ((_, count),) = await dialogs.redis.pubsub_shardnumsub(channel)
    return bool(count)


async def subscriptions_asked(dialogs: Dialogs) -> int:
    """How many SSUBSCRIBE this Redis has been sent."""
    stats = await dialogs.redis.info("commandstats")
    return int(stats.get("cmdstat_ssubscribe", {}).get("calls", 0))


@pytest.mark.parametrize(
    "room", ["conversation:plans", "conversation:a:bus", "user:ann", "user:a}:b@c|d", "user:u"]
)
def test_a_room_and_its_channel_name_each_other(room):
    assert room_of(channel_of(room)) == room


@pytest.mark.parametrize("room", ["", "session-id", "conversation"])
def test_what_is_no_room_has_no_channel(room):
    with pytest.raises(ValueError, match="is no room"):
        channel_of(room)


async def test_a_channel_is_subscribed_when_the_call_returns_and_its_messages_come_with_their_room(
    dialogs, listener
):
    channel = conversation_channel("c")
    await listener.bus.subscribe(channel)
    assert await hears(dialogs, channel)
    await listener.bus.emit("typing:changed", {"typing": True}, room="conversation:c")
    listener.bus.emit_soon([("typing:changed", {"typing": n}, "conversation:c") for n in range(3)])
    await listener.changes.until(lambda: len(listener.heard) == 4)
    told = [framed("X", "typing:changed", {"typing": typing}).encode() for typing in (True, 0, 1, 2)]
    assert listener.heard == [("conversation:c", message) for message in told]


async def test_a_channel_is_unsubscribed_after_its_last_holder_only(dialogs, listener, monkeypatch):
    monkeypatch.setattr(subscriptions, "UNSUBSCRIBE_AFTER_S", 0.0)
    kept, left = user_channel("ann"), user_channel("bob")
    for channel in (kept, kept, left):
        await listener.bus.subscribe(channel)
    for channel in (kept, left):
        listener.bus.release(channel)

    async def is_left() -> bool:
        return not await hears(dialogs, left)

    await poll(is_left, "the end of the subscription", 5)
    assert await hears(dialogs, kept)
    # As if for the first time.
    await listener.bus.subscribe(left)
    assert await hears(dialogs, left)


async def test_a_room_that_is_entered_again_soon_is_not_subscribed_twice(dialogs, listener):
    channel = conversation_channel("c")
    before = await subscriptions_asked(dialogs)
    for _ in range(3):
        async with listener.bus.subscribed(channel):
            assert await hears(dialogs, channel)
    assert await subscriptions_asked(dialogs) == before + 1


async def test_many_channels_are_subscribed_by_one_command_and_unsubscribed_in_parts(
    dialogs, listener, monkeypatch
):
    monkeypatch.setattr(subscriptions, "AT_ONCE", 40)
    monkeypatch.setattr(subscriptions, "UNSUBSCRIBE_AFTER_S", 0.0)
    channels = [conversation_channel(f"c{n}") for n in range(100)]
    await dialogs.redis.config_resetstat()
    async with listener.bus.subscribed(*channels):
        assert {int(count) for _, count in await dialogs.redis.pubsub_shardnumsub(*channels)} == {1}
        assert await subscriptions_asked(dialogs) == 3
    await poll(lambda: not listener.bus.channels, "the end of the subscriptions", 5)

    async def is_over() -> bool:
        stats = await dialogs.redis.info("commandstats")
        return bool(stats.get("cmdstat_sunsubscribe", {}).get("calls", 0) == 3)

    await poll(is_over, "three commands", 5)


async def test_all_channels_are_subscribed_again_after_a_loss_before_it_is_reported(
    dialogs, listener, monkeypatch
):
    monkeypatch.setattr(subscriptions, "AT_ONCE", 20)  # four commands, without thousands of channels
    channels = [conversation_channel(f"c{n}") for n in range(3 * subscriptions.AT_ONCE + 1)]
    await asyncio.gather(*(listener.bus.subscribe(channel) for channel in channels))
    given_back = channels.pop(0)
    listener.bus.release(given_back)
    await dialogs.redis.client_kill_filter(_type="pubsub", skipme=False)
    await listener.changes.until(lambda: listener.subscribed == 2)
    counts = await dialogs.redis.pubsub_shardnumsub(*channels)
    assert {int(count) for _, count in counts} == {1}
    assert not await hears(dialogs, given_back), "nobody holds it"
    await dialogs.redis.spublish(channels[7], "message")
    await listener.changes.until(lambda: listener.heard == [(room_of(channels[7]), b"message")])


async def test_a_subscription_that_is_not_confirmed_in_time_is_refused_and_not_kept(dialogs, monkeypatch):
    monkeypatch.setattr(subscriptions, "SUBSCRIBE_S", 0.05)
    bus = Bus(dialogs.redis_url, "n-1")  # it is not connected
    for _ in range(3):
        with pytest.raises(Unavailable):
            async with bus.subscribed(user_channel("ann"), user_channel("bob")):
                pass
    assert bus.channels == 0, "nothing is left of it, however long Redis is away"
    assert not bus._subscriptions._unsent
    heard = Listener(bus)
    task = asyncio.create_task(bus.listen(heard.on_message, heard.on_subscribed))
    await heard.changes.until(lambda: heard.subscribed)
    assert not await hears(dialogs, user_channel("ann"))
    await end_tasks([task])
    await bus.close()


@dataclass
class Follower:
    sid: str = "s"
    user_id: str = "ann"
    device_id: str = "laptop"


class Recipient:
    """A connection that takes what it is sent."""

    eio_sid = "connection"

    def put_event(self, frame: bytes) -> None: ...


async def test_what_is_appended_while_a_room_is_entered_is_in_what_is_read(dialogs, monkeypatch):
    """The subscription is confirmed before the log is read: what comes between the two would be missed."""
    monkeypatch.setattr(subscriptions, "SUBSCRIBE_S", 10.0)
    monkeypatch.setattr(subscriptions, "SILENT_AFTER_S", 600)
    conversation = await dialogs.conversation(agent="off")
    port = int(re.search(r":(\d+)", dialogs.redis_url.removeprefix("redis:"))[1])  # type: ignore[index]
    proxy = Proxy([("127.0.0.1", port)])
    await proxy.start()
    async with listening(f"redis://127.0.0.1:{proxy.port}/0") as listener:
        bus = listener.bus
        bus._recipients["s"] = Recipient()
        fanout = Fanout(bus, dialogs.log, Metrics(), Trace("n"))
        catch_up = CatchUp(dialogs.log, bus, fanout, is_live=lambda sid: True)
        proxy.up.blackhole = True
        following = asyncio.create_task(catch_up.follow(Follower(), conversation, None, 100_000))
        done, _ = await asyncio.wait({following}, timeout=0.3)  # in which a log that did not wait would be read
        assert not done
        ack, _ = await dialogs.log.append_message(conversation, ANN, "m", "hi", run_id="r")
        proxy.up.blackhole = False
        result, _ = await following
        assert result["position"]["seq"] == result["n"] == ack["seq"]
        assert await hears(dialogs, conversation_channel(conversation)), "it is held by the follower"
        fanout.leave_all("s")
        await fanout.close()
    await proxy.close()


async def messages_heard(url: str) -> int:
    """How many messages a node says that it has heard."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        found = re.search(r"^roomgraph_bus_messages_total (\S+)$", await response.text(), re.MULTILINE)
    assert found
    return int(float(found[1]))


async def test_a_node_without_a_member_hears_nothing_of_a_conversation(cluster, raw_client, redis, new_id):
    ann = await raw_client(0)
    channel, own = conversation_channel(new_id), user_channel(ann.user_id)
    in_it = {"conversation_id": new_id}
    await ann.call("conversation:create", {**in_it, "access": "open", "agent": "off"})

    async def nodes() -> list[int]:
        return [int(count) for _, count in await redis.pubsub_shardnumsub(channel, own)]

    assert await nodes() == [1, 1]
    before = await messages_heard(cluster.urls[0])
    for number in range(20):
        await ann.call("message:send", {**in_it, "request_id": f"m{number}", "text": "hello"})
    await ann.event("entry:appended", seq=21)
    assert await messages_heard(cluster.urls[0]) >= before + 20, "it is counted"
    bob = await raw_client(1, name="Bob")
    await bob.call("conversation:join", in_it)
    assert await nodes() == [2, 1]
    await ann.call("message:send", {**in_it, "request_id": "last", "text": "hello"})
    for client in (ann, bob):
        await client.event("entry:appended", seq=23)


async def test_a_node_hears_the_end_of_a_run_that_it_executes_without_a_session(dialogs):
    """Without the bus it would learn of it when it renews the lease."""
    settings = Settings(
        redis_url=dialogs.redis_url,
        port=free_ports(1),
        auth_mode="guest",
        graph="tests.graphs.held:work",
        lease=30,  # it is renewed after 10 s
    )
    node = Node(settings)
    await node.start()
    try:
        conversation = await dialogs.conversation()
        await dialogs.send(conversation)
        began = await asyncio.to_thread(held.began.wait, 10)
        assert began
        await dialogs.turns.stop(conversation, ANN, None)
        assert await asyncio.to_thread(held.cancelled.wait, 2), "the run was not cancelled"
    finally:
        await node.stop()


@pytest.mark.parametrize(
    ("said", "unknown"),
    [
        ("ERR unknown command `SSUBSCRIBE`, with args beginning with: `rg:heartbeat:n` ", True),
        ("unknown command 'SSUBSCRIBE', with args beginning with: ", True),
        ("NOPERM User node has no permissions to run the 'ssubscribe' command", False),
        ("LOADING Redis is loading the dataset in memory", False),
    ],
)
def test_only_a_server_that_does_not_know_sharded_channels_is_listened_to_on_plain_ones(said, unknown):
    assert is_unknown_command(Exception(said)) is unknown


@pytest.mark.faults
async def test_nodes_of_a_redis_before_seven_tell_each_other_on_plain_channels(tmp_path: Path):
    port = free_ports(3)
    url = f"redis://127.0.0.1:{port + 2}/0"
    server = await asyncio.create_subprocess_exec(
        engine("redis-6.2"), "--port", str(port + 2), "--save", "", cwd=tmp_path, stdout=DEVNULL, stderr=DEVNULL
    )
    cluster = LocalCluster(port, 2, tmp_path / "cluster", redis_url=url, settings=NODE_SETTINGS)
    try:
        await redis_answers(url)
        await cluster.start()
        _, ann = await guest_token(cluster.urls[0], "Ann")
        _, bob = await guest_token(cluster.urls[1], "Bob")
        async with ChatClient(cluster.urls[0], ann) as zero, ChatClient(cluster.urls[1], bob) as one:
            conversation = await zero.create(access="open", agent="always", graph="echo")
            await one.join(conversation.id)
            assert (await ask(conversation, "hello")).text == "hello"
        redis = connect(url)
        assert (await read_status(redis))["bus_subscriptions"] == 2
        await redis.aclose()
    finally:
        await cluster.stop()
        server.terminate()
        await server.wait()

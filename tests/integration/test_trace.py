"""The trace: what nodes really do, as it happens, for who has the key; and nothing where there is no stage."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from typing import Any

import aiohttp
import pytest

from sio_server.store.connection import connect, connect_blocking
from sio_server.store.keys import TRACE
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import WAITING_MAX, Trace
from tests.graphs.steps import held_key
from tests.served.stage import BEARER, Staged
from tests.waiting import within

pytest_plugins = ["tests.served.stage_fixtures"]

RUNS = ("run_taken_over", "resumed", "run_started", "run_step", "asked", "run_ended")


def told(events):
    """Runs' events, as far as they are the same each time."""
    names = ("kind", "attempt", "step", "checkpoint", "status")
    return [tuple(event[name] for name in names if name in event) for event in events]


def steps(attempt, *numbered):
    return [("run_step", attempt, name, number) for name, number in numbered]


async def held_on(stage: Staged, conversation_id: str) -> int:
    """The port of the node on which the conversation's graph waits."""
    redis = connect_blocking(stage.cluster.redis_url, 20)
    try:
        found: Any = await redis.blpop([held_key(conversation_id)], timeout=20)
        return int(found[1])
    finally:
        await redis.aclose()


async def test_a_message_is_told_of_from_its_device_over_its_node_and_the_bus_to_every_device(stage, people):
    reader = await stage.reader(node=1)
    ann = await people.start("steps", agent="off")
    bob = await people.join(ann)
    ack = await ann.conversation.send("hello")
    where = {"conversation_id": ann.conversation.id, "seq": ack.seq}
    first, second = (str(port) for port in stage.cluster.ports)
    devices = {first: ann.client.device_id, second: bob.client.device_id}
    delivered = [await reader.event("delivered", node=node, **where) for node in devices]
    assert [event["device_ids"] for event in delivered] == [[device] for device in devices.values()]
    appended = await reader.event("appended", **where)
    assert (appended["node"], appended["device_id"], appended["new"]) == (first, ann.client.device_id, True)
    assert 0 < appended["ms"] < 5000
    (received,) = reader.named("received", conversation_id=ann.conversation.id)
    assert received["node"] == first
    for node in devices:
        heard = await reader.event("heard", node=node, **where)
        (shown,) = reader.named("delivered", node=node, **where)
        assert heard["type"] == "message"
        assert received["at"] <= heard["at"] <= shown["at"]
    assert received["at"] <= appended["at"]
    assert abs(received["at"] / 1000 - time.time()) < 60


async def test_a_run_is_told_of_with_each_step_and_its_checkpoint_and_goes_on_after_a_question(stage, people):
    reader = await stage.reader()
    ann = await people.start("steps")
    asked = await ann.ended((await ann.conversation.send("ask@b")).run_id)
    ack = await ann.conversation.respond(asked.data["interrupts"][0]["interrupt_id"], "yes")
    answer = await ann.ended(ack["run_id"])
    await reader.event("run_ended", run_id=answer.data["run_id"])
    assert told(reader.named(*RUNS, run_id=asked.data["run_id"])) == [
        ("run_started", 1),
        *steps(1, ("a", 1)),
        ("asked", 1),
        ("run_ended", 1, "interrupted"),
    ]
    assert told(reader.named(*RUNS, run_id=answer.data["run_id"])) == [
        ("resumed", 1),
        ("run_started", 1),
        *steps(1, ("b", 1), ("c", 2)),
        ("run_ended", 1, "answered"),
    ]
    again = await ann.ended((await ann.conversation.send("once more")).run_id)
    await reader.event("run_ended", run_id=again.data["run_id"])
    assert told(reader.named("run_step", run_id=again.data["run_id"])) == steps(1, ("a", 1), ("b", 2), ("c", 3))


@pytest.mark.faults
async def test_a_takeover_is_told_of_by_the_node_that_makes_it_and_goes_on_from_the_last_checkpoint(stage, people):
    ann = await people.start("steps")
    sent = await ann.conversation.send("hold@b")
    port = await held_on(stage, ann.conversation.id)
    survivor = next(number for number in stage.cluster.ports if number != port)
    reader = await stage.reader(node=stage.cluster.ports.index(survivor))
    dying = await stage.reader(node=stage.cluster.ports.index(port))
    assert (await stage.ask("POST", f"/nodes/{port}/kill"))[0] == 200
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(dying.over, 5)
    await ann.ended(sent.run_id)
    ended = await reader.event("run_ended", run_id=sent.run_id)
    assert ended["node"] == str(survivor)
    assert told(reader.named(*RUNS, run_id=sent.run_id)) == [
        ("run_taken_over", 2),
        ("run_started", 2),
        *steps(2, ("b", 2), ("c", 3)),
        ("run_ended", 2, "answered"),
    ]
    await reader.event("node_gone", gone=str(port))
    assert (await stage.ask("POST", f"/nodes/{port}/start"))[0] == 200
    await reader.event("node_up", node=str(port))
    assert stage.cluster.ended.empty()  # nobody is told that it ended by itself


async def test_another_attempt_of_the_same_owner_is_not_told_of_as_a_takeover(stage, people):
    reader = await stage.reader()
    ann = await people.start("steps")
    sent = await ann.conversation.send("fail1@b")
    await ann.ended(sent.run_id)
    await reader.event("run_ended", run_id=sent.run_id)
    assert told(reader.named(*RUNS, run_id=sent.run_id)) == [
        ("run_started", 1),
        *steps(1, ("a", 1)),
        ("run_started", 2),
        *steps(2, ("b", 2), ("c", 3)),
        ("run_ended", 2, "answered"),
    ]


async def test_a_run_that_somebody_stops_is_told_of_as_ended_once(stage, people):
    reader = await stage.reader()
    ann = await people.start("steps")
    sent = await ann.conversation.send("hold@b")
    await held_on(stage, ann.conversation.id)
    await ann.conversation.stop()
    await ann.ended(sent.run_id)
    await reader.event("run_ended", run_id=sent.run_id)
    following = await ann.ended((await ann.conversation.send("go on")).run_id)
    await reader.event("run_ended", run_id=following.data["run_id"])
    assert told(reader.named("run_ended", run_id=sent.run_id)) == [("run_ended", 1, "stopped")]


async def test_the_trace_tells_of_each_session_from_its_opening_to_its_end(stage, people):
    reader = await stage.reader()
    ann = await people.connect("Ann", node=1)
    opened = await reader.event("session_opened", device_id=ann.client.device_id)
    assert opened["node"] == str(stage.cluster.ports[1])
    assert opened["device_name"] == "Ann's 0"
    await ann.close()
    closed = await reader.event("session_closed", session_id=opened["session_id"])
    assert closed["user_id"] == opened["user_id"]


async def test_the_stream_begins_with_who_speaks_and_beats_each_second(stage):
    reader = await stage.reader(node=1)
    urls = stage.cluster.urls
    node = str(stage.cluster.ports[1])
    assert reader.hello == {"kind": "hello", "node": node, "control": stage.controller.url, "nodes": urls}
    await reader.until(lambda: reader.beats >= 2, "two beats")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "token_missing"),
        ({"Authorization": "Bearer wrong"}, "token_invalid"),
        ({"Authorization": BEARER["Authorization"][:-1]}, "token_invalid"),
        ({"Authorization": BEARER["Authorization"].replace("Bearer", "Basic")}, "token_invalid"),
        ({"Authorization": "Bearer \udcff"}, "token_invalid"),
    ],
)
async def test_the_trace_is_read_only_with_the_stage_key(stage, headers, code):
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{stage.cluster.urls[0]}/api/trace", headers=headers) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (401, code)


async def test_a_page_of_another_node_may_read_the_trace_and_a_foreign_one_may_not(stage):
    url, own = f"{stage.cluster.urls[0]}/api/trace", stage.cluster.urls[1]
    async with aiohttp.ClientSession() as http:
        for origin, allowed in ((own, own), ("http://evil.example", None), ("null", None)):
            asking = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            async with http.options(url, headers=asking) as response:
                assert response.status == 204
                assert response.headers.get("Access-Control-Allow-Origin") == allowed
                assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
            # The refusal as well: the page shall know why.
            async with http.get(url, headers={"Origin": origin}) as response:
                assert response.status == 401
                assert response.headers.get("Access-Control-Allow-Origin") == allowed


async def test_a_reader_that_does_not_read_is_dropped_and_the_others_go_on(stage):
    reader = await stage.reader()
    host, port = "127.0.0.1", stage.cluster.ports[0]
    idle = socket.socket()
    idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    idle.setblocking(False)
    loop = asyncio.get_running_loop()
    redis = connect(stage.cluster.redis_url)
    try:
        await loop.sock_connect(idle, (host, port))
        head = f"GET /api/trace HTTP/1.1\r\nHost: {host}\r\nAuthorization: {BEARER['Authorization']}\r\n\r\n"
        await loop.sock_sendall(idle, head.encode())
        # It is a reader before its answer begins.
        assert (await loop.sock_recv(idle, 15)).startswith(b"HTTP/1.1 200")
        came = 0
        for batch in range(300):  # 30 MB, which no system keeps for a socket
            pipe = redis.pipeline(transaction=False)
            for _ in range(100):
                pipe.publish(TRACE, json.dumps({"at": 0, "kind": "heavy", "batch": batch, "load": "x" * 1000}))
            await pipe.execute()
            came += 100
            await reader.until(lambda came=came: len(reader.named("heavy")) == came, f"batch {batch}")
            reader.events.clear()
            came = 0
        # What the system has kept for it comes; then it is over, though the node goes on.
        async with within(20, "the end of the stream"):
            try:
                while await loop.sock_recv(idle, 2**20):
                    pass
            except ConnectionResetError:
                pass
        beats = reader.beats
        await reader.until(lambda: reader.beats > beats, "another beat")
    finally:
        idle.close()
        await redis.aclose()


async def test_a_node_that_stops_says_so_and_ends_the_streams_in_order(stage):
    leaving, staying = await stage.reader(node=1), await stage.reader(node=0)
    port = stage.cluster.ports[1]
    await stage.cluster.signal_node(port, signal.SIGTERM)
    await asyncio.wait_for(leaving.over, 10)
    draining = await staying.event("node_draining", node=str(port))
    gone = await staying.event("node_gone", gone=str(port))
    assert draining["at"] < gone["at"]
    await leaving.event("node_draining", node=str(port))


async def test_without_a_key_there_is_no_stage_and_nothing_is_published(cluster, new_client, new_id):
    async with aiohttp.ClientSession(cluster.urls[0]) as http:
        for path in ("/stage", "/api/trace"):
            async with http.get(path, headers=BEARER) as response:
                assert response.status == 404
    redis = connect(cluster.redis_url)
    try:
        async with redis.pubsub() as pubsub:
            await pubsub.subscribe(TRACE)
            ann = await new_client("Ann")
            conversation = await ann.create(conversation_id=new_id, access="open", agent="always")
            await conversation.send("hello")
            async with within(20, "something on the bus"):
                async for entry in conversation.entries():
                    if entry.type == "answer":
                        break
            await ann.close()
            await redis.publish(TRACE, "the test")
            async with within(10, "the marker on the bus"):
                async for message in pubsub.listen():
                    if message["type"] == "message":
                        assert message["data"] == "the test"
                        break
    finally:
        await redis.aclose()


async def test_telling_never_waits_and_what_finds_no_room_is_lost_and_counted():
    trace = Trace("node")
    trace.record(TraceKind.NODE_UP)
    assert not trace.on
    trace.start("redis://127.0.0.1:1/0")  # where nobody answers

    def tell_many() -> None:
        for seq in range(WAITING_MAX):
            trace.record(TraceKind.HEARD, seq=seq)

    began = time.monotonic()
    await asyncio.gather(
        *(asyncio.to_thread(tell_many) for _ in "ab"),
    )
    assert time.monotonic() - began < 10
    assert trace.lost >= WAITING_MAX / 2
    await asyncio.wait_for(trace.stop(), 3)
    lost = trace.lost
    trace.record(TraceKind.NODE_UP)
    assert (trace.on, trace.lost) == (False, lost)

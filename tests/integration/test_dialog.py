"""The dialog: runs are taken from the queue by any node, one at a time in a conversation, each ended once."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from sio_clients import ChatClient, guest_token
from sio_server.protocol.events import EntryType
from sio_server.store.connection import connect
from tests.barrier import settled
from tests.waiting import Inbox, first_of


async def next_of(conversation, *types: str, timeout: float = 30):
    """The next entry of these types."""
    return await first_of(conversation.entries(), lambda entry: entry.type in types, " or ".join(types), timeout)


async def ask(conversation, text: str):
    """Send, and return the answer to just this."""
    ack = await conversation.send(text)
    while True:
        entry = await next_of(conversation, EntryType.ANSWER, EntryType.INTERRUPT, EntryType.FAILED)
        if entry.data["input_seq"] == ack.seq:
            return entry


async def test_the_concierge_books_a_room_over_several_turns_while_the_client_changes_nodes(cluster, new_client):
    client = await new_client("Ann")
    conversation = await client.create(agent="always")
    assert "?" in (await ask(conversation, "book a room for a workshop")).text
    await client.go_offline()
    await client.go_online(cluster.urls[1])
    assert "many people" in (await ask(conversation, "tomorrow at 10")).text
    await client.go_offline()
    await client.go_online(cluster.urls[2])
    read_back = (await ask(conversation, "6")).text
    assert all(part in read_back for part in ("workshop", "tomorrow at 10", "6 people"))
    assert "Booked" in (await ask(conversation, "yes")).text
    assert "workshop" in (await ask(conversation, "summary")).text


async def test_the_pieces_of_an_answer_joined_are_the_final_text(new_client):
    client = await new_client("Ann")
    written: list[dict[str, Any]] = []
    client.on("run:written", written.append)
    conversation = await client.create(agent="always")
    answer = await ask(conversation, "预订会议室")
    pieces = [piece for told in written for piece in told["parts"]]
    assert {(told["run_id"], told["version"]) for told in written} == {(answer.data["run_id"], 1)}
    assert {piece["part"] for piece in pieces} == {0}
    assert "".join(piece["text"] for piece in pieces) == answer.text
    assert len(pieces) > 1, "word by word, not at once"


async def test_runs_of_one_conversation_go_one_after_another_in_order(new_client):
    client = await new_client("Ann")
    events: list[tuple[str, str]] = []

    def note_begin(told: dict[str, Any]) -> None:
        if told["run"]["status"] == "running":
            events.append(("begun", told["run"]["run_id"]))

    def note_end(entry: dict[str, Any]) -> None:
        if entry["type"] == "answer":
            events.append(("ended", entry["data"]["run_id"]))

    client.on("run:changed", note_begin)
    client.on("entry:appended", note_end)
    conversation = await client.create(agent="always")
    acks = [await conversation.send(f"hello {number}") for number in range(8)]
    answers = [await next_of(conversation, EntryType.ANSWER) for _ in acks]
    assert [answer.data["input_seq"] for answer in answers] == [ack.seq for ack in acks]
    assert [answer.data["run_id"] for answer in answers] == [ack.run_id for ack in acks]
    await settled(client)
    expected = [(what, ack.run_id) for ack in acks for what in ("begun", "ended")]
    assert events == expected


async def test_the_agent_answers_always_when_mentioned_or_never_as_the_conversation_is_set(new_client):
    client = await new_client("Ann")
    for agent, text, answered in (
        ("off", "@concierge hello", False),
        ("mention", "hello", False),
        ("mention", "hello @Concierge", True),
        ("always", "hello", True),
    ):
        conversation = await client.create(agent=agent)
        ack = await conversation.send(text)
        assert (ack.run_id is not None) is answered
        if answered:
            assert (await next_of(conversation, EntryType.ANSWER)).data["run_id"] == ack.run_id


async def test_each_persons_booking_in_a_group_is_their_own(new_client, new_id):
    ann, bob = await new_client("Ann", node=0), await new_client("Bob", node=1)
    hers = await ann.create(conversation_id=new_id, access="open", agent="mention")
    his = await bob.join(new_id)
    await ask(hers, "@concierge book a room for a workshop")
    await ask(his, "@concierge book a room for an interview")
    await ask(hers, "@concierge tomorrow at 10")
    await ask(his, "@concierge Friday 15:00")
    assert "workshop, tomorrow at 10, 6 people" in (await ask(hers, "@concierge 6")).text
    assert "interview, Friday 15:00, 2 people" in (await ask(his, "@concierge 2")).text


@pytest.mark.faults
async def test_a_device_that_returns_while_an_answer_streams_is_shown_the_run(start_cluster):
    cluster = await start_cluster(nodes=2, WORD_DELAY="0.4")
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls, token) as client:
        written: Inbox[Any] = Inbox()
        client.on("run:written", written)
        conversation = await client.create(agent="always")
        ack = await conversation.send("book a room for a workshop")
        await written.first(lambda told: any(part["text"] for part in told["parts"]))
        await client.go_offline()
        await client.go_online(cluster.urls[1])
        (run,) = conversation.runs.values()
        assert run.reports, "what the graph has reported"
        assert (run.run_id, run.status, run.version, run.turn_id) == (ack.run_id, "running", 1, ack.seq)
        text = run.text
        answer = await next_of(conversation, EntryType.ANSWER)
        assert text
        assert answer.text.startswith(text)


async def test_a_run_whose_node_is_killed_is_ended_once_by_another(start_cluster):
    cluster = await start_cluster(nodes=2, WORD_DELAY="0.2")
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls, token) as client:
        changed: Inbox[dict[str, Any]] = Inbox()
        client.on("run:changed", changed)
        conversation = await client.create(agent="always")
        ack = await conversation.send("book a room for a workshop")
        begun = await changed.first(lambda told: told["run"]["status"] == "running", "the run's start", 10)
        await cluster.signal_node(int(begun["run"]["node"]), signal.SIGKILL)
        answer = await next_of(conversation, EntryType.ANSWER)
        assert (answer.data["run_id"], answer.data["attempt"]) == (ack.run_id, 2)
        states = [(told["run"]["status"], told["run"]["version"]) for told in changed.items]
        assert states == [("queued", 0), ("running", 1), ("stalled", 1), ("running", 2)]
        # The dialog stands where the dead node had brought it: the workshop is known.
        assert "many people" in (await ask(conversation, "tomorrow at 10")).text
        answers = [e for e in await conversation.log() if e.type == "answer"]
        assert [e.data["input_seq"] for e in answers].count(ack.seq) == 1


async def test_an_agent_that_takes_too_long_is_ended_with_a_reason_for_people(start_cluster):
    cluster = await start_cluster(nodes=1, WORD_DELAY="1", RUN_TIMEOUT="1")
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls, token) as client:
        conversation = await client.create(agent="always")
        ack = await conversation.send("book a room")
        failed = await next_of(conversation, EntryType.FAILED, EntryType.ANSWER)
        assert (failed.type, failed.data["run_id"]) == ("failed", ack.run_id)
        assert failed.data["reason"] == "the agent did not answer within 1 s"


@pytest.mark.faults
async def test_a_lost_store_delays_a_run_and_does_not_fail_it(start_cluster):
    cluster = await start_cluster(nodes=2)
    redis = connect(cluster.redis_url)
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls, token) as client:
        conversation = await client.create(agent="always")
        assert (await ask(conversation, "hello")).type == "answer"
        for turn in range(4):
            # Every connection is lost: those that lie in the pools, and, with the next kill, those in use.
            await redis.client_kill_filter(_type="normal", skipme=True)
            ack = await conversation.send(f"hello {turn}")
            await redis.client_kill_filter(_type="normal", skipme=True)
            entry = await next_of(conversation, EntryType.ANSWER, EntryType.FAILED)
            assert (entry.type, entry.data["input_seq"]) == ("answer", ack.seq)
        await cluster.signal_redis(signal.SIGKILL)
        sending = asyncio.create_task(conversation.send("hello again"))
        await cluster.start_redis()
        ack = await sending
        entry = await next_of(conversation, EntryType.ANSWER, EntryType.FAILED)
        assert (entry.type, entry.data["input_seq"]) == ("answer", ack.seq)
        finals = [e.data["input_seq"] for e in await conversation.log() if e.type in ("answer", "failed")]
        assert len(finals) == len(set(finals)) == 6
    await redis.aclose()

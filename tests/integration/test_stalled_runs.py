"""A run whose node is silent is stalled before it is taken over, and runs again when its node was only slow."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sio_server.conversation.runs import Batch, ClaimedRun, LeaseHeld
from sio_server.dialog.run_queue import Bell, RunQueue
from sio_server.store.keys import LEASE_MS, ConversationKeys, conversation_channel
from sio_server.tasks import end_tasks
from tests.bus import Ear, hearing
from tests.served.dialogs import WAIT_S, Dialogs, graph_of, said
from tests.waiting import Changes, Inbox

pytest_plugins = ["tests.served.dialog_fixtures"]

STALLED_MS = LEASE_MS // 2  # a lease that has not been renewed for so long shows its run as stalled
TOO_OLD_MS = LEASE_MS - STALLED_MS - 1  # what is left of a lease that has not been renewed for long


class Told:
    """Every `run:changed` that is published in the conversations that it makes."""

    def __init__(self, dialogs: Dialogs, stack: contextlib.AsyncExitStack) -> None:
        self._dialogs = dialogs
        self._stack = stack
        self.runs: list[dict[str, Any]] = []
        self._changes = Changes(lambda: self.runs)

    async def conversation(self) -> str:
        """A new conversation, whose channel is heard."""
        conversation = await self._dialogs.conversation()
        ear = await self._stack.enter_async_context(
            hearing(self._dialogs.redis, conversation_channel(conversation))
        )
        task = asyncio.create_task(self._listen(ear))
        self._stack.push_async_callback(end_tasks, [task])
        return conversation

    def states(self, run_id: str) -> list[tuple[str, int, str]]:
        """What was told of a run: (status, version, node)."""
        return [(run["status"], run["version"], run["node"]) for run in self.runs if run["run_id"] == run_id]

    async def until(self, run_id: str, status: str, version: int) -> None:
        await self._changes.until(lambda: (status, version) in [state[:2] for state in self.states(run_id)])

    async def _listen(self, ear: Ear) -> None:
        while True:
            message = await ear.next(WAIT_S)
            if message.event == "run:changed":
                self.runs.append(message.payload["run"])
                self._changes.changed()


@pytest.fixture
async def told(dialogs: Dialogs) -> AsyncIterator[Told]:
    async with contextlib.AsyncExitStack() as stack:
        yield Told(dialogs, stack)


async def claimed(dialogs: Dialogs, conversation: str, node: str = "n1") -> ClaimedRun:
    run = await dialogs.runs(node).claim_run(conversation)
    assert isinstance(run, ClaimedRun)
    return run


@pytest.mark.parametrize(("owner_s", "other_s"), [(60.0, 10.0), (10.0, 60.0)])
async def test_a_lease_lasts_as_long_as_its_owner_has_written_whoever_looks(dialogs, owner_s, other_s):
    conversation = await dialogs.conversation()
    await dialogs.send(conversation)
    key = ConversationKeys(conversation).lease
    run = await dialogs.runs("n1", lease_s=owner_s).claim_run(conversation)
    assert isinstance(run, ClaimedRun)
    for _ in range(2):
        left_ms = await dialogs.redis.pttl(key)
        assert owner_s * 500 < left_ms <= owner_s * 1000
        held = await dialogs.runs("n2", lease_s=other_s).claim_run(conversation)
        assert isinstance(held, LeaseHeld)
        assert held.seconds <= owner_s / 2
        await dialogs.redis.pexpire(key, 4000)
        # The part that renews it knows the token only.
        await dialogs.runs("n1", lease_s=other_s).renew_lease(run)
    # When it is silent for half of its own lease, and not of another one, it is stalled.
    await dialogs.redis.pexpire(key, round(owner_s * 500) + 3000)
    held = await dialogs.runs("n2", lease_s=other_s).claim_run(conversation)
    assert isinstance(held, LeaseHeld)
    assert held.seconds <= 3
    assert json.loads((await dialogs.log.get_view(conversation, "ann")).runs)[0]["status"] == "running"
    await dialogs.redis.pexpire(key, round(owner_s * 500))
    await dialogs.runs("n2", lease_s=other_s).claim_run(conversation)
    assert json.loads((await dialogs.log.get_view(conversation, "ann")).runs)[0]["status"] == "stalled"


async def answer(state: Any) -> Any:
    return said("done")


async def test_a_node_that_renews_after_all_keeps_its_run_in_the_same_version(dialogs, told):
    conversation = await told.conversation()
    run_id = await dialogs.send(conversation)
    run = await claimed(dialogs, conversation)
    held = await dialogs.runs("n2").claim_run(conversation)
    assert isinstance(held, LeaseHeld)
    assert held.seconds * 1000 <= STALLED_MS
    await dialogs.redis.pexpire(ConversationKeys(conversation).lease, TOO_OLD_MS)
    for _ in range(2):  # it is told once
        held = await dialogs.runs("n2").claim_run(conversation)
        assert isinstance(held, LeaseHeld)
        assert 1.0 < held.seconds <= TOO_OLD_MS / 1000
    (stalled,) = json.loads((await dialogs.log.get_view(conversation, "ann")).runs)
    assert (stalled["status"], stalled["node"]) == ("stalled", "n1")
    for _ in range(2):
        await dialogs.runs().renew_lease(run)
    await dialogs.runs().hand_over_run(run)
    await told.until(run_id, "queued", 1)
    assert told.states(run_id) == [
        *(("queued", 0, ""), ("running", 1, "n1"), ("stalled", 1, "n1"), ("running", 1, "n1"), ("queued", 1, ""))
    ]


async def test_a_run_that_is_taken_over_was_stalled_whoever_looked(dialogs, told):
    conversation = await told.conversation()
    run_id = await dialogs.send(conversation)
    await claimed(dialogs, conversation)
    await dialogs.redis.delete(ConversationKeys(conversation).lease)  # it has expired
    await claimed(dialogs, conversation, "n2")
    await told.until(run_id, "running", 2)
    assert told.states(run_id) == [
        *(("queued", 0, ""), ("running", 1, "n1"), ("stalled", 1, "n1"), ("running", 2, "n2"))
    ]


async def test_another_attempt_of_the_same_node_was_not_stalled(dialogs, told):
    conversation = await told.conversation()
    run_id = await dialogs.send(conversation)
    run = await claimed(dialogs, conversation)
    void = {"part": 0, "kind": "text", "speaker": "Concierge", "text": "void"}
    await dialogs.runs().add_written(run, Batch(1, [void], [{"number": 1, "kind": "custom"}]))
    assert isinstance(await dialogs.runs().claim_run(conversation, holding=run.token), ClaimedRun)
    await told.until(run_id, "running", 2)
    assert [state[0] for state in told.states(run_id)] == ["queued", "running", "running"]
    (now,) = json.loads((await dialogs.log.get_view(conversation, "ann")).runs)
    assert (now["version"], now["parts"], now["reports"]) == (2, [], [])


@pytest.mark.parametrize("lease_s", [3.0, 1.0])
async def test_a_run_whose_node_dies_at_once_is_stalled_before_another_node_takes_it(dialogs, told, lease_s):
    """The node has read the bell and claimed the run, and was never heard again."""
    conversation = await told.conversation()
    bells: Inbox[Bell] = Inbox()
    queue = RunQueue(dialogs.redis, dialogs.redis_url, "dead")

    async def has_room() -> None:
        return None

    reading = asyncio.create_task(queue.read_bells(bells, has_room))
    run_id = await dialogs.send(conversation)
    await bells.first(what="the bell")
    run = await dialogs.runs("dead", lease_s=lease_s).claim_run(conversation)
    assert isinstance(run, ClaimedRun)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await dialogs.serve(graph_of(answer), node="n2", lease_s=lease_s)
    await told.until(run_id, "stalled", 1)
    assert await dialogs.redis.hget(ConversationKeys(conversation).lease, "token") == run.token
    await dialogs.ended_with(conversation, run_id)
    assert told.states(run_id) == [
        *(("queued", 0, ""), ("running", 1, "dead"), ("stalled", 1, "dead"), ("running", 2, "n2"))
    ]

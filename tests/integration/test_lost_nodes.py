"""Nodes that ended at the same step of a run are counted, and only those that are gone."""

from __future__ import annotations

import asyncio

import pytest

from sio_server.conversation.runs import ClaimedRun, NodesLost
from sio_server.dialog import suspects as suspects_module
from sio_server.dialog.suspects import Suspects
from sio_server.store.keys import ConversationKeys
from sio_server.tasks import end_tasks
from tests.served.dialogs import Dialogs

pytest_plugins = ["tests.served.dialog_fixtures"]


async def claim(dialogs: Dialogs, conversation: str, node: str) -> ClaimedRun:
    run = await dialogs.runs(node).claim_run(conversation)
    assert isinstance(run, ClaimedRun)
    return run


async def lose(dialogs: Dialogs, conversation: str) -> None:
    """The lease expires: the node has renewed it no more."""
    await dialogs.redis.delete(ConversationKeys(conversation).lease)


async def begin(dialogs: Dialogs, conversation: str, node: str, checkpoint: str) -> tuple[ClaimedRun, NodesLost]:
    """A node claims the run and lets its graph continue from a checkpoint."""
    run = await claim(dialogs, conversation, node)
    return run, await dialogs.runs(node).adopt_thread(run, checkpoint)


async def begun(dialogs: Dialogs) -> tuple[str, ClaimedRun]:
    """A conversation, and its run, which `n1` executes."""
    conversation = await dialogs.conversation()
    await dialogs.send(conversation)
    run, lost = await begin(dialogs, conversation, "n1", "c1")
    assert (run.lost, lost) == (0, NodesLost(0, shared=False))
    return conversation, run


async def test_nodes_that_ended_at_the_same_checkpoint_are_counted(dialogs):
    conversation, _ = await begun(dialogs)
    for number, node in enumerate(("n2", "n3", "n4"), 1):
        await lose(dialogs, conversation)
        run, lost = await begin(dialogs, conversation, node, "c1")
        assert (run.lost, lost) == (number, NodesLost(number, shared=False))
        # A reply may be lost: the same again has the same effect.
        assert await dialogs.runs(node).adopt_thread(run, "c1") == lost


async def test_of_a_run_that_makes_progress_only_the_node_before_counts(dialogs):
    conversation, _ = await begun(dialogs)
    for number in range(2, 6):
        await lose(dialogs, conversation)
        _, lost = await begin(dialogs, conversation, f"n{number}", f"c{number}")
        assert lost == NodesLost(1, shared=False)


async def test_a_node_that_ended_before_the_graph_worked_does_not_count(dialogs):
    conversation = await dialogs.conversation()
    await dialogs.send(conversation)
    for node in ("n1", "n2", "n3"):
        await claim(dialogs, conversation, node)
        await lose(dialogs, conversation)
    _, lost = await begin(dialogs, conversation, "n4", "c1")
    assert lost.count == 0


async def test_a_run_that_was_handed_over_or_failed_has_lost_no_node(dialogs):
    conversation, run = await begun(dialogs)
    await dialogs.runs("n1").hand_over_run(run)
    run, lost = await begin(dialogs, conversation, "n2", "c1")
    assert lost.count == 0
    again = await dialogs.runs("n2").claim_run(conversation, holding=run.token, failed=run.run_id)
    assert isinstance(again, ClaimedRun)
    assert (again.lost, again.failures) == (0, 1)


async def test_a_process_that_lost_its_lease_and_claims_the_run_again_is_not_gone(dialogs):
    """Redis was away for longer than a lease."""
    conversation, _ = await begun(dialogs)
    await lose(dialogs, conversation)
    _, lost = await begin(dialogs, conversation, "n1", "c1")
    assert lost.count == 0


@pytest.mark.parametrize("late", [False, True])
async def test_a_node_that_was_only_paused_takes_its_count_back(dialogs, late):
    conversation, first = await begun(dialogs)
    await lose(dialogs, conversation)
    if not late:  # before another node has claimed the run
        await dialogs.runs("n1").retire_thread(first)
    second, lost = await begin(dialogs, conversation, "n2", "c1")
    assert lost.count == int(late)
    if late:
        await dialogs.runs("n1").retire_thread(first)
    await lose(dialogs, conversation)
    _, lost = await begin(dialogs, conversation, "n3", "c1")
    assert lost.count == 1
    await dialogs.runs("n2").retire_thread(second)
    await lose(dialogs, conversation)
    _, lost = await begin(dialogs, conversation, "n4", "c1")
    assert lost.count == 1


@pytest.mark.parametrize("third", [False, True])
async def test_suspects_begin_one_after_another_and_the_last_to_begin_is_known(dialogs, monkeypatch, third):
    monkeypatch.setattr(suspects_module, "ALONE_S", 0.3)
    runs = dialogs.runs("n2")
    suspects = Suspects(runs)
    rooms = [(await begun(dialogs))[0] for _ in range(3)]
    for room in rooms:
        await lose(dialogs, room)
    claimed = [await claim(dialogs, room, "n2") for room in rooms]
    assert [run.lost for run in claimed] == [1, 1, 1]
    order: list[str] = []

    async def let_begin(run: ClaimedRun) -> None:
        await suspects.begin(run, "c1")
        order.append(run.conversation_id)

    beginning = [asyncio.create_task(let_begin(run)) for run in claimed]
    loop = asyncio.get_running_loop()
    began = loop.time()
    await beginning[1]
    assert order == rooms[:2]
    assert loop.time() - began >= 0.3
    if third:
        noting = list(suspects._noting)
        await beginning[2]
        await asyncio.gather(*noting)
    else:
        await end_tasks([beginning[2]])
    for run in claimed:
        suspects.end(run)
    # Now the node ends, and the run that began last is the one.
    for room in rooms:
        await lose(dialogs, room)
    lost = [(await begin(dialogs, room, "n3", "c1"))[1] for room in rooms]
    expected = [(2, True), (2, third), (2 if third else 1, False)]
    assert lost == [NodesLost(count, shared=shared) for count, shared in expected]


async def test_suspects_that_have_all_been_at_work_for_a_while_share_the_blame(dialogs, monkeypatch):
    monkeypatch.setattr(suspects_module, "ALONE_S", 0.01)
    suspects = Suspects(dialogs.runs("n2"))
    rooms = [(await begun(dialogs))[0] for _ in range(2)]
    for room in rooms:
        await lose(dialogs, room)
    for room in rooms:
        await suspects.begin(await claim(dialogs, room, "n2"), "c1")
    await asyncio.gather(*suspects._noting)
    for room in rooms:
        await lose(dialogs, room)
    assert [(await begin(dialogs, room, "n3", "c1"))[1].shared for room in rooms] == [True, True]


async def test_a_suspect_that_is_alone_on_its_node_stays_so_however_long_it_works(dialogs, monkeypatch):
    monkeypatch.setattr(suspects_module, "ALONE_S", 0.01)
    suspects = Suspects(dialogs.runs("n2"))
    rooms = [(await begun(dialogs))[0] for _ in range(2)]
    for room in rooms:
        await lose(dialogs, room)
        run = await claim(dialogs, room, "n2")
        await suspects.begin(run, "c1")
        suspects.end(run)
        await lose(dialogs, room)
        assert (await begin(dialogs, room, "n3", "c1"))[1] == NodesLost(2, shared=False)

"""The dialog's thread: what ends it is seen, what tries to end it does not, and it is stopped in time."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest
import uvloop
from langgraph.graph import MessagesState

from sio_server.dialog import host as host_module
from sio_server.dialog.host import DialogHost, run_whatever_happens
from sio_server.dialog.savers.errors import WrongSaver
from tests.served.dialogs import graph_of, said
from tests.waiting import within

pytest_plugins = ["tests.served.dialog_fixtures"]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_event_loop_outlives_whatever_tries_to_end_it(new_loop, caplog):
    async def exit_now(error: BaseException) -> None:
        raise error

    steps: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(exit_now(error)) for error in (SystemExit(3), KeyboardInterrupt())]
        loop.call_soon(sys.exit, 4)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        steps.append("after exits")
        loop.stop()
        await asyncio.sleep(0.001)
        steps.append("after a stop")
        assert [repr(task.exception()) for task in tasks] == ["SystemExit(3)", "KeyboardInterrupt()"]

    loop = new_loop()
    try:
        run_whatever_happens(loop, main())
    finally:
        loop.close()
    assert steps == ["after exits", "after a stop"]
    assert "SystemExit: 4" in caplog.text
    assert "stopped before Future completed" in caplog.text


def cancel_everything(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


async def test_a_dialog_whose_thread_ends_is_told_of_and_started_again(dialogs, caplog, monkeypatch):
    monkeypatch.setattr(host_module, "FIRST_BACK_OFF_S", 0.3)
    host = await dialogs.serve(graph_of(lambda state: said("well")))
    assert host.failing == []
    for number in range(1, 3):
        loop = host._loop
        assert loop is not None
        loop.call_soon_threadsafe(cancel_everything, loop)
        async with within(5, "the dialog's failure"):
            assert await dialogs.failures.get() == "dialog"
        assert host.failing == ["dialog"]
        conversation = await dialogs.conversation()
        answer = await dialogs.ended_with(conversation, await dialogs.send(conversation))
        assert (answer.text, host.failing) == ("well", [])
        assert caplog.text.count("the dialog has ended: this node takes no runs") == number
        assert caplog.text.count("the dialog was started again") == number


async def test_a_dialog_that_cannot_be_built_again_is_tried_until_it_can(dialogs, caplog, monkeypatch):
    monkeypatch.setattr(host_module, "FIRST_BACK_OFF_S", 0.05)
    host = await dialogs.serve(graph_of(lambda state: said("well")))
    build, errors = host._build, [ValueError("not now"), SystemExit(3)]

    async def build_later() -> Any:
        assert host.failing == ["dialog"]
        if errors:
            raise errors.pop()
        return await build()

    host._build = build_later
    loop = host._loop
    assert loop is not None
    loop.call_soon_threadsafe(cancel_everything, loop)
    conversation = await dialogs.conversation()
    answer = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert (answer.text, errors, host.failing) == ("well", [], [])
    assert caplog.text.count("the dialog could not be started again") == 2


@pytest.mark.faults
async def test_a_run_that_ends_its_dialog_twice_at_the_same_step_is_not_started_a_third_time(dialogs, monkeypatch):
    monkeypatch.setattr(host_module, "FIRST_BACK_OFF_S", 0.05)
    began: list[str] = []

    async def work(state: MessagesState) -> Any:
        text = str(state["messages"][-1].text)
        began.append(text)
        if text == "end it":
            cancel_everything(asyncio.get_running_loop())
            await asyncio.sleep(5)
        return said("well")

    host = await dialogs.serve(graph_of(work))
    bad, good = await dialogs.conversation(), await dialogs.conversation()
    failed = await dialogs.ended_with(bad, await dialogs.send(bad, "end it"))
    assert (failed.type, failed.data.get("code")) == ("failed", "node_lost")
    assert began == ["end it", "end it"]
    answer = await dialogs.ended_with(good, await dialogs.send(good))
    assert (answer.text, host.failing) == ("well", [])


async def test_a_background_task_of_the_dialog_that_fails_is_seen_from_the_nodes_thread(dialogs, monkeypatch):
    host = await dialogs.serve(graph_of(lambda state: said("well")))
    assert host._worker is not None
    errors = [SystemExit(3)]
    claim = host._worker._queue._claim

    async def fail_once(*args: Any) -> None:
        if errors:
            raise errors.pop()
        await claim(*args)

    monkeypatch.setattr(host._worker._queue, "_claim", fail_once)
    async with within(5, "the failure of the claims"):
        assert await dialogs.failures.get() == "run-claims"
    assert host.failing == ["run-claims"]
    conversation = await dialogs.conversation()
    answer = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert answer.type == "answer"


@pytest.mark.parametrize(
    ("error", "raised"),
    [(WrongSaver("not here"), WrongSaver), (SystemExit(3), RuntimeError), (KeyboardInterrupt(), RuntimeError)],
    ids=repr,
)
async def test_what_keeps_the_dialog_from_starting_is_raised_to_the_node(error, raised):
    async def build() -> Any:
        raise error

    with pytest.raises(raised, match=r"not here|the dialog cannot start"):
        await DialogHost(build).start()


async def test_a_graph_that_blocks_the_thread_does_not_hold_up_the_nodes_end(dialogs, monkeypatch):
    monkeypatch.setattr(host_module, "HAND_OVER_S", 0.1)
    monkeypatch.setattr(host_module, "CLOSE_S", 0.1)
    blocking = asyncio.Event()
    here = asyncio.get_running_loop()

    async def work(state: MessagesState) -> Any:
        here.call_soon_threadsafe(blocking.set)
        time.sleep(5)  # noqa: ASYNC251
        return said("late")

    host = await dialogs.serve(graph_of(work))
    await dialogs.send(await dialogs.conversation())
    await asyncio.wait_for(blocking.wait(), 5)
    began = time.monotonic()
    await host.stop(0.1)
    assert time.monotonic() - began < 4
    assert host._thread is not None
    monkeypatch.undo()
    await asyncio.to_thread(host._thread.join, 10)

"""Attempts at runs: whatever a graph does ends its own run only, and each failure counts for its own run."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.config import get_stream_writer
from langgraph.graph import MessagesState

from sio_server.conversation.runs import Batch, ClaimedRun, Runs
from sio_server.dialog import outcome
from sio_server.dialog.streaming import RunStream
from tests.served.dialogs import ANN, graph_of, said

pytest_plugins = ["tests.served.dialog_fixtures"]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "BACK_OFF_S", 0.01)


class Odd(BaseException):
    """Neither an Exception nor one of Python's own."""


def heard(state: MessagesState) -> str:
    return next(str(item.text) for item in reversed(state["messages"]) if isinstance(item, HumanMessage))


async def raise_it(error: BaseException) -> None:
    raise error


ERRORS: dict[str, BaseException] = {
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "odd": Odd("odd"),
    "cancelled": asyncio.CancelledError(),
    "generator": GeneratorExit(),
    "timeout": TimeoutError("of its own"),
    "group": BaseExceptionGroup("both", [SystemExit(1), ValueError("bad")]),
}


async def misbehave(state: MessagesState) -> Any:
    """Do what the message says, or answer."""
    how, _, what = heard(state).partition(" ")
    loop = asyncio.get_running_loop()
    if how == "raise":
        raise ERRORS[what]
    if how == "task":
        await asyncio.create_task(raise_it(ERRORS[what]))
    if how == "thread":
        await loop.run_in_executor(None, sys.exit, 3)
    if how == "gather":
        await asyncio.gather(raise_it(ERRORS[what]), asyncio.sleep(5))
    if how == "self":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(5)
    if how == "loose":  # nobody waits for these, and the run itself goes well
        loop.loose = [  # type: ignore[attr-defined]
            asyncio.create_task(raise_it(ERRORS["exit"])),
            asyncio.create_task(raise_it(ERRORS["interrupt"])),
            asyncio.create_task(raise_it(ERRORS["odd"])),
        ]
        loop.call_soon(sys.exit, 4)
        loop.call_later(0.01, sys.exit, 5)
        threading.Thread(target=sys.exit).start()
        await asyncio.sleep(0.05)
    if how == "stop":
        loop.stop()
        await asyncio.sleep(0.05)
    return said("well")


@pytest.mark.parametrize(
    "what",
    [
        *(f"raise {name}" for name in ERRORS),
        *(f"task {name}" for name in ERRORS if name != "cancelled"),
        *("thread", "gather exit", "gather cancelled", "self"),
    ],
)
async def test_whatever_a_graph_raises_fails_its_own_run_after_the_usual_attempts(dialogs, what):
    host = await dialogs.serve(graph_of(misbehave))
    conversation, other = await dialogs.conversation(), await dialogs.conversation()
    run_id = await dialogs.send(conversation, what)
    failed = await dialogs.ended_with(conversation, run_id)
    assert (failed.type, failed.data.get("code"), failed.data["attempt"]) == ("failed", "graph_failed", 3)
    for place in (conversation, other):
        answer = await dialogs.ended_with(place, await dialogs.send(place, "hello"))
        assert (answer.type, answer.text) == ("answer", "well")
    assert host.failing == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("what", ["loose", "stop"])
async def test_what_a_graph_leaves_behind_in_its_thread_ends_nothing(dialogs, what, caplog):
    host = await dialogs.serve(graph_of(misbehave))
    conversation = await dialogs.conversation()
    for text in (what, "hello"):
        answer = await dialogs.ended_with(conversation, await dialogs.send(conversation, text))
        assert (answer.type, answer.data["attempt"]) == ("answer", 1)
    assert "a graph tried to end the dialog's thread" in caplog.text
    assert host.failing == []


async def test_a_timeout_of_the_graphs_own_is_not_told_as_the_runs_time_limit(dialogs):
    await dialogs.serve(graph_of(misbehave), attempts=1)
    conversation = await dialogs.conversation()
    failed = await dialogs.ended_with(conversation, await dialogs.send(conversation, "raise timeout"))
    assert failed.data["code"] == "graph_failed"


async def test_a_run_that_takes_too_long_fails_with_its_time_limit(dialogs):
    async def work(state: MessagesState) -> Any:
        await asyncio.Event().wait()

    await dialogs.serve(graph_of(work), timeout_s=0.1)
    conversation = await dialogs.conversation()
    failed = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert (failed.data["code"], failed.data["attempt"]) == ("timeout", 1)


# Whose failure it is


@pytest.mark.parametrize("how", ["stopped", "edited"])
async def test_a_failure_of_a_run_that_has_ended_since_is_not_charged_to_the_next(dialogs, how, monkeypatch):
    monkeypatch.setattr(outcome, "BACK_OFF_S", 30.0)
    failing = asyncio.Event()
    here = asyncio.get_running_loop()

    async def work(state: MessagesState) -> Any:
        if heard(state) == "fail":
            here.call_soon_threadsafe(failing.set)
            raise ValueError("as told")
        return said("well")

    await dialogs.serve(graph_of(work))
    conversation = await dialogs.conversation()
    first = await dialogs.send(conversation, "fail")
    await failing.wait()
    if how == "stopped":
        second = await dialogs.send(conversation, "next")
        await dialogs.turns.stop(conversation, ANN, first)
    else:
        second = await dialogs.send(conversation, "next", edits=2)
    # At once: a run that has ended is not waited for.
    answer = await dialogs.ended_with(conversation, second, timeout=5)
    assert (answer.type, answer.data["attempt"]) == ("answer", 1)
    record = await dialogs.record(conversation, second)
    assert (record["attempt"], record["failures"]) == ("1", "0")
    assert (await dialogs.ended_with(conversation, first)).type == "stopped"


async def test_a_failure_is_counted_for_the_run_whose_attempt_failed_whichever_is_claimed_next(dialogs):
    runs = dialogs.runs()
    conversation = await dialogs.conversation()
    first = await dialogs.send(conversation, "first")
    second = await dialogs.send(conversation, "second")
    claimed = await runs.claim_run(conversation)
    assert isinstance(claimed, ClaimedRun)
    assert claimed.run_id == first
    await dialogs.turns.stop(conversation, ANN, first)
    following = await runs.claim_run(conversation, holding=claimed.token, failed=first)
    assert isinstance(following, ClaimedRun)
    assert (following.run_id, following.failures) == (second, 0)
    again = await runs.claim_run(conversation, holding=following.token, failed=second)
    assert isinstance(again, ClaimedRun)
    assert (again.run_id, again.attempt, again.failures) == (second, 2, 1)


# The stream


class BrokenStream(Runs):
    """Cannot show anything."""

    async def add_written(self, run: ClaimedRun, batch: Batch) -> None:
        raise ValueError("it cannot be shown")


async def report_and_wait(state: MessagesState) -> Any:
    """Report something and never end."""
    get_stream_writer()({"progress": 1})
    await asyncio.Event().wait()


async def test_a_stream_that_breaks_is_a_failure_of_its_own_and_not_a_lost_lease(dialogs, caplog):
    await dialogs.serve(graph_of(report_and_wait), make_runs=BrokenStream)
    conversation = await dialogs.conversation()
    failed = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert (failed.data["code"], failed.data["attempt"]) == ("graph_failed", 3)
    assert failed.data["reason"] == "what the agent said could not be shown"
    assert "a run's text could not be shown" in caplog.text
    assert "another node's" not in caplog.text


@pytest.mark.parametrize("report_state", [False, True])
async def test_members_see_what_a_node_of_the_graph_returns_only_when_the_operator_wants_it(
    dialogs, monkeypatch, report_state
):
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(RunStream, "add_report", lambda stream, report: reports.append(report))

    async def look_up(state: MessagesState) -> Any:
        return said("the salary of Bob")

    await dialogs.serve(graph_of(look_up), report_state=report_state)
    conversation_id = await dialogs.conversation()
    await dialogs.ended_with(conversation_id, await dialogs.send(conversation_id))
    (report,) = reports
    assert (report["kind"], report["path"]) == ("node", ["work"])
    assert ("salary" in str(report)) == report_state
    assert ("data" in report) == report_state

"""Attempts at runs: whatever a graph does ends its own run only, and each failure counts for its own run."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send
from redis import exceptions as redis_errors

from sio_server.conversation.runs import Batch, ClaimedRun, Runs, Unwritten
from sio_server.dialog import outcome
from sio_server.dialog.attempt_saver import AttemptSaver
from sio_server.dialog.savers.operations import Operation, Put
from sio_server.dialog.savers.plain import PlainRedisSaver
from sio_server.dialog.streaming import RunStream
from sio_server.protocol.errors import Unavailable
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
    # What our own store could raise as well: a graph may have a Redis client, or a client of Roomgraph.
    "redis-lost": redis_errors.ConnectionError("its own Redis is away"),
    "redis-slow": redis_errors.TimeoutError("its own Redis is slow"),
    "redis-full": redis_errors.OutOfMemoryError("OOM"),
    "refused": ConnectionRefusedError("its own service"),
    "unavailable": Unavailable("its own server"),
    "encode": UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"),
    "decode": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
}


class Counting(MessagesState):
    """A state with more than messages."""

    counts: dict[str, int]


class Handler(BaseCallbackHandler):
    """A callback that raises; LangChain keeps only an Exception from its caller."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def on_chat_model_start(self, *args: Any, **options: Any) -> Any:
        raise self._error


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
    if how == "cause":
        try:
            raise ERRORS[what]
        except BaseException as exc:
            raise ValueError("of the graph") from exc
    if how == "tool":
        call = {"name": "fail", "args": {}, "id": "1", "type": "tool_call"}

        def fail() -> str:
            """Fail."""
            raise ERRORS[what]

        return await ToolNode([fail], handle_tool_errors=False).ainvoke(
            {"messages": [AIMessage("", tool_calls=[call])]}
        )
    if how == "callback":
        await FakeListChatModel(responses=["x"]).ainvoke("x", {"callbacks": [Handler(ERRORS[what])]})
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
        *("tool exit", "tool interrupt", "tool odd", "tool redis-lost", "tool decode"),
        *("callback exit", "callback odd", "cause redis-lost", "cause decode"),
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


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), Odd("odd")], ids=repr)
async def test_a_node_that_is_an_ordinary_function_fails_its_own_run_too(dialogs, error):
    def work(state: MessagesState) -> Any:
        raise error

    host = await dialogs.serve(graph_of(work))
    conversation = await dialogs.conversation()
    failed = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert (failed.data["code"], failed.data["attempt"]) == ("graph_failed", 3)
    assert host.failing == []


async def test_a_store_of_ours_that_is_lost_is_no_failure_of_the_graph(dialogs, monkeypatch):
    lost = [redis_errors.ConnectionError("away"), redis_errors.OutOfMemoryError("OOM")]
    write = PlainRedisSaver.write_together

    async def lose(saver: PlainRedisSaver, operations: Sequence[Operation], then: Any = None) -> Any:
        if lost and any(isinstance(one, Put) and one.metadata["step"] == 0 for one in operations):
            raise lost.pop()
        return await write(saver, operations, then)

    monkeypatch.setattr(PlainRedisSaver, "write_together", lose)
    await dialogs.serve(graph_of(misbehave), attempts=1)
    conversation = await dialogs.conversation()
    answer = await dialogs.ended_with(conversation, run_id := await dialogs.send(conversation, "hello"))
    assert (answer.type, answer.data["attempt"], lost) == ("answer", 3, [])
    assert (await dialogs.record(conversation, run_id))["failures"] == "0"


async def test_a_state_whose_text_cannot_be_kept_fails_at_once(dialogs):
    async def work(state: Counting) -> Any:
        return {"counts": {"\ud83d": 1}}

    builder = StateGraph(Counting)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    await dialogs.serve(builder)
    conversation = await dialogs.conversation()
    failed = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert (failed.data["code"], failed.data["attempt"]) == ("graph_failed", 1)
    assert failed.data["reason"] == "the agent said something that is not text"


async def test_a_graph_that_raises_since_its_time_was_up_is_told_of_as_too_slow(dialogs):
    async def work(state: MessagesState) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("the model was cancelled") from None

    await dialogs.serve(graph_of(work), timeout_s=0.1)
    conversation = await dialogs.conversation()
    failed = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert (failed.data["code"], failed.data["attempt"]) == ("timeout", 1)


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

    async def add_written(self, run: ClaimedRun, batch: Batch) -> int:
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


@pytest.mark.parametrize("report_nodes", ["off", "names", "full"])
async def test_members_see_as_much_of_a_graphs_nodes_as_the_operator_wants(dialogs, monkeypatch, report_nodes):
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(RunStream, "add_report", lambda stream, report: reports.append(report))

    async def look_up(state: MessagesState) -> Any:
        return said("the salary of Bob")

    await dialogs.serve(graph_of(look_up), report_nodes=report_nodes)
    conversation_id = await dialogs.conversation()
    await dialogs.ended_with(conversation_id, await dialogs.send(conversation_id))
    assert [report["path"] for report in reports] == ([] if report_nodes == "off" else [["work"]])
    assert ("salary" in str(reports)) == (report_nodes == "full")
    assert all(("data" in report) == (report_nodes == "full") for report in reports)


# Round trips


async def count(state: MessagesState) -> Any:
    """Say how many messages there are."""
    return said(str(len(state["messages"])))


async def test_a_run_does_not_continue_from_a_checkpoint_that_was_sent_with_it_and_did_not_arrive(
    dialogs, monkeypatch
):
    write = PlainRedisSaver.write_together
    dropped: list[Any] = []

    async def drop(saver: PlainRedisSaver, operations: Sequence[Operation], then: Any = None) -> Any:
        if then is not None and operations:
            dropped.append(operations)
        return await write(saver, [] if then is not None else operations, then)

    monkeypatch.setattr(PlainRedisSaver, "write_together", drop)
    await dialogs.serve(graph_of(count))
    conversation = await dialogs.conversation()
    answers = [await dialogs.ended_with(conversation, await dialogs.send(conversation)) for _ in range(2)]
    assert [(answer.text, answer.data["attempt"]) for answer in answers] == [("1", 1), ("3", 1)]
    assert len(dropped) == 2  # the beginning of each run


async def test_a_turn_of_one_step_reads_its_state_once_and_writes_it_twice(dialogs, monkeypatch):
    calls: list[str] = []
    run_script, write = PlainRedisSaver._run, PlainRedisSaver.write_together

    async def noted_run(saver: PlainRedisSaver, name: str, *args: Any) -> Any:
        calls.append(name)
        return await run_script(saver, name, *args)

    async def noted_write(saver: PlainRedisSaver, operations: Sequence[Operation], then: Any = None) -> Any:
        calls.append(" ".join(type(one).__name__ for one in operations) + (" then" if then else ""))
        return await write(saver, operations, then)

    monkeypatch.setattr(PlainRedisSaver, "_run", noted_run)
    monkeypatch.setattr(PlainRedisSaver, "write_together", noted_write)
    await dialogs.serve(graph_of(count))
    conversation = await dialogs.conversation()
    await dialogs.ended_with(conversation, await dialogs.send(conversation))
    calls.clear()
    await dialogs.ended_with(conversation, await dialogs.send(conversation))
    # Its end may follow the last write on the same connection, before the reply to that.
    assert calls in (written := ["get", "Put then", "Put"], [*written, " then"])


class NotingEnds(Runs):
    """Tells which ends of runs were refused since a checkpoint was missing."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.refused = asyncio.Event()

    async def finish_run(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().finish_run(*args, **options)
        except Unwritten:
            self.refused.set()
            raise


@pytest.mark.parametrize("lost", [None, redis_errors.ConnectionError("away"), ValueError("a bug")], ids=repr)
async def test_a_run_does_not_end_before_the_last_checkpoint_of_its_graph_is_in_redis(dialogs, monkeypatch, lost):
    write = PlainRedisSaver.write_together
    ran: list[str] = []
    made: list[NotingEnds] = []
    late: list[bool] = []

    async def work(state: MessagesState) -> Any:
        ran.append(heard(state))
        return said("done")

    async def write_late(saver: PlainRedisSaver, operations: Sequence[Operation], then: Any = None) -> Any:
        if ran and operations and then is None and not late:
            late.append(True)
            await asyncio.wait_for(made[0].refused.wait(), 5)
            if lost is not None:
                raise lost
        return await write(saver, operations, then)

    def make_runs(*args: Any) -> Runs:
        made.append(NotingEnds(*args))
        return made[0]

    monkeypatch.setattr(PlainRedisSaver, "write_together", write_late)
    await dialogs.serve(graph_of(work), make_runs=make_runs)
    conversation = await dialogs.conversation()
    answer = await dialogs.ended_with(conversation, run_id := await dialogs.send(conversation, "go"))
    attempts = 1 if lost is None else 2  # its node had not ended: the checkpoint says so
    assert (answer.text, answer.data["attempt"], ran) == ("done", attempts, ["go"] * attempts)
    assert made[0].refused.is_set()
    record = await dialogs.record(conversation, run_id)
    assert record["failures"] == str(int(isinstance(lost, ValueError)))
    latest = await (await dialogs.store()).saver.aget_tuple({"configurable": {"thread_id": record["thread"]}})
    assert [str(message.text) for message in latest.checkpoint["channel_values"]["messages"]] == ["go", "done"]


def shapes() -> dict[str, StateGraph[Any]]:
    """Graphs that lead from node to node in each of LangGraph's ways, each with `last` as its last node."""

    async def step(state: MessagesState) -> Any:
        return {}

    async def last(state: MessagesState) -> Any:
        return said("done")

    def graph(*nodes: tuple[str, Any]) -> StateGraph[Any]:
        builder = StateGraph(MessagesState)
        for name, function in (*nodes, ("last", last)):
            builder.add_node(name, function, defer=name == "last" and nodes[-1][0] == "slow")
        builder.add_edge(START, nodes[0][0])
        return builder

    async def goto(state: MessagesState) -> Any:
        return Command(goto="last")

    async def send(state: MessagesState) -> Any:
        return Command(goto=[Send("last", state)])

    edge = graph(("step", step)).add_edge("step", "last")
    condition = graph(("step", step))
    condition.add_conditional_edges("step", lambda state: "last", ["last"])
    sends = graph(("step", step))
    sends.add_conditional_edges("step", lambda state: [Send("last", state)], ["last"])
    deferred = graph(("step", step), ("quick", step), ("slow", step))
    for source, target in (("step", "quick"), ("step", "slow"), ("quick", "last"), ("slow", "last")):
        deferred.add_edge(source, target)
    joined = graph(("step", step), ("one", step), ("other", step))
    joined.add_edge("step", "one").add_edge("step", "other").add_edge(["one", "other"], "last")
    return {
        "edge": edge,
        "condition": condition,
        "goto": graph(("step", goto)),
        "send": graph(("step", send)),
        "sends": sends,
        "deferred": deferred,
        "joined": joined,
    }


@pytest.mark.parametrize("shape", list(shapes()))
async def test_no_node_begins_before_the_checkpoint_of_the_step_before_is_in_redis(dialogs, monkeypatch, shape):
    steps: list[int] = []
    sent: list[int] = []
    put, send_last = AttemptSaver.aput, AttemptSaver._send_last

    async def noted_put(saver: AttemptSaver, config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        steps.append(metadata["step"])
        return await put(saver, config, checkpoint, metadata, versions)

    async def noted_last(saver: AttemptSaver, operation: Put) -> None:
        sent.append(operation.metadata["step"])
        await send_last(saver, operation)

    monkeypatch.setattr(AttemptSaver, "aput", noted_put)
    monkeypatch.setattr(AttemptSaver, "_send_last", noted_last)
    await dialogs.serve(shapes()[shape])
    conversation = await dialogs.conversation()
    answer = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert answer.text == "done"
    assert len(steps) >= 4
    assert sent == [max(steps)], "the last is the only one that is not waited for"

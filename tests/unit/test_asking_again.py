"""Whether a failed run asks again: the store may be lost meanwhile, without a server."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langgraph.types import Interrupt

from sio_server.conversation.runs import ClaimedRun
from sio_server.dialog import attempts
from sio_server.dialog.answers import Questions
from sio_server.dialog.attempts import Attempts
from sio_server.dialog.execution import NoAnswer
from sio_server.dialog.outcome import Finish
from sio_server.dialog.savers.errors import StoreLost
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.run import RunStatus

FAILED = Finish(RunStatus.FAILED, "graph_failed", "it failed")
RUN = cast(ClaimedRun, SimpleNamespace(kind="resume", graph="work", run_id="r-1"))


def executing(monkeypatch: pytest.MonkeyPatch, *results: Any) -> Attempts:
    """What executes runs; reading the questions again has these results, one after another."""
    left = list(results)

    async def read(*args: Any) -> Any:
        result = left.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(attempts, "FINISH_AGAIN_S", 0.0)
    monkeypatch.setattr(attempts, "questions_again", read)
    made: Any = object.__new__(Attempts)
    made._stopping = asyncio.Event()
    made._graphs = {"work": None}
    made._checkpoints = SimpleNamespace(saver=None)
    return cast(Attempts, made)


async def test_questions_are_read_again_until_the_store_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Interrupt("Sure?", id="q")
    made = executing(monkeypatch, StoreLost("away"), Unavailable("away"), [question])
    how, said = await made._or_ask_again(RUN, FAILED, None)
    assert (how.asks_again, said) == (True, Questions([question]))


async def test_a_node_that_stops_leaves_the_run_to_another_when_the_store_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = executing(monkeypatch, StoreLost("away"))
    made._stopping.set()
    with pytest.raises(Unavailable):
        await made._or_ask_again(RUN, FAILED, None)


async def test_a_graph_that_cannot_tell_its_questions_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made = executing(monkeypatch, NoAnswer("broken"))
    assert await made._or_ask_again(RUN, FAILED, None) == (FAILED, None)

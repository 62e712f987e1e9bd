"""Static breakpoints: no takeover passes one that nobody was asked about."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.graph import END, START, MessagesState, StateGraph

from sio_server.conversation.runs import ClaimedRun, LeaseLost, RunFinished, Runs
from tests.served.dialogs import ANN, said

pytest_plugins = ["tests.served.dialog_fixtures"]


class LosesItsEnd(Runs):
    """Hands the first attempt at each run over in the moment in which its end would be written."""

    async def finish_run(self, run: ClaimedRun, *args: Any, **kwargs: Any) -> RunFinished:
        if run.attempt == 1:
            await self.hand_over_run(run)
            raise LeaseLost("its node was killed")
        return await super().finish_run(run, *args, **kwargs)


class Stepped(StateGraph[MessagesState]):
    """Two nodes, with breakpoints."""

    def __init__(self, **breakpoints: Any) -> None:
        super().__init__(MessagesState)
        self.breakpoints = breakpoints
        self.ran: list[str] = []
        for name in ("one", "two"):
            self.add_node(name, self.step(name))
        self.add_edge(START, "one")
        self.add_edge("one", "two")
        self.add_edge("two", END)

    def step(self, name: str) -> Any:
        def node(state: MessagesState) -> Any:
            self.ran.append(name)
            return said(name)

        return node

    def compile(self, **options: Any) -> Any:  # type: ignore[override]
        return super().compile(**self.breakpoints, **options)


class Around(StateGraph[MessagesState]):
    """A graph with such a graph inside."""

    def __init__(self, **breakpoints: Any) -> None:
        super().__init__(MessagesState)
        inside = Stepped(**breakpoints)
        self.ran = inside.ran
        self.add_node("inside", inside.compile())
        self.add_edge(START, "inside")


@pytest.mark.parametrize("kind", [Stepped, Around])
@pytest.mark.parametrize("where", [{"interrupt_before": ["one", "two"]}, {"interrupt_before": "*"}])
async def test_an_attempt_that_takes_a_run_over_asks_at_each_breakpoint_before_a_node(dialogs, kind, where):
    graph = kind(**where)
    await dialogs.serve(graph, make_runs=LosesItsEnd)
    conversation = await dialogs.conversation()
    run_id = await dialogs.send(conversation)
    for ahead, ran in (("one", []), ("two", ["one"])):
        asked = await dialogs.ended_with(conversation, run_id)
        assert (asked.type, graph.ran) == ("interrupt", ran)
        assert asked.text.endswith(f"Continue with {ahead}?")
        run_id = f"r-{ahead}"
        question = asked.data["interrupts"][0]["interrupt_id"]
        await dialogs.turns.respond(conversation, ANN, question, "continue", run_id=run_id)
    answer = await dialogs.ended_with(conversation, run_id)
    assert (answer.type, answer.text, graph.ran) == ("answer", "two", ["one", "two"])


@pytest.mark.parametrize("kind", [Stepped, Around])
async def test_an_attempt_that_takes_a_run_over_asks_at_a_breakpoint_after_a_node(dialogs, kind):
    graph = kind(interrupt_after=["one"])
    await dialogs.serve(graph, make_runs=LosesItsEnd)
    conversation = await dialogs.conversation()
    asked = await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert (asked.type, graph.ran) == ("interrupt", ["one"])
    assert asked.text.endswith("Continue with two?")
    question = asked.data["interrupts"][0]["interrupt_id"]
    await dialogs.turns.respond(conversation, ANN, question, "continue", run_id="r-two")
    answer = await dialogs.ended_with(conversation, "r-two")
    assert (answer.type, answer.text, graph.ran) == ("answer", "two", ["one", "two"])

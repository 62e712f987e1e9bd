"""Every way in which an attempt can end has one meaning for its run."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from sio_server.dialog.outcome import (
    MAX_ATTEMPTS,
    Abandon,
    AttemptEnd,
    Finish,
    GraphEnd,
    HandOver,
    StreamEnd,
    Tries,
    TryAgain,
    decide,
    has_ended_nodes,
    too_many,
)
from sio_server.protocol.run import RunStatus

FIRST = Tries(graph="teller", attempt=1, failures=0, failures_allowed=3, timeout_s=300.0)
LAST = replace(FIRST, attempt=3, failures=2)
ANSWERED, ASKED = Finish(RunStatus.ANSWERED), Finish(RunStatus.INTERRUPTED)


def failed(code: str, reason: str) -> Finish:
    return Finish(RunStatus.FAILED, code, reason)


BY_THE_GRAPH = {
    GraphEnd.ANSWERED: ANSWERED,
    GraphEnd.ASKED: ASKED,
    GraphEnd.RAISED: TryAgain(failed=True, pause_s=0.5),
    GraphEnd.TIMED_OUT: failed("timeout", "the agent did not answer within 300 s"),
    GraphEnd.NO_ANSWER: failed("no_answer", "the agent gave no answer"),
    GraphEnd.NOT_TEXT: failed("graph_failed", "the agent said something that is not text"),
    GraphEnd.GRAPH_CHANGED: failed(
        "graph_changed", "the agent was changed meanwhile and cannot continue: send it again"
    ),
    GraphEnd.NODE_LOST: failed("node_lost", "the agent ended the nodes on which it worked at this step"),
    GraphEnd.TOO_MANY_STEPS: failed("too_many_steps", "the agent took too many steps without an answer"),
    GraphEnd.UNKNOWN_GRAPH: failed("unknown_graph", "this server has no agent 'teller'"),
    GraphEnd.TOO_MANY_ATTEMPTS: failed("interrupted_too_often", "the agent was interrupted too often"),
    GraphEnd.STORE_LOST: TryAgain(failed=False, pause_s=0.5),
    GraphEnd.LEASE_LOST: Abandon(),
}


@pytest.mark.parametrize("end", GraphEnd)
def test_each_end_of_a_graph_leads_to_one_decision(end: GraphEnd) -> None:
    assert decide(AttemptEnd(graph=end), FIRST) == BY_THE_GRAPH[end]


@pytest.mark.parametrize(
    ("end", "decision"),
    [
        (AttemptEnd(run_over=True), Abandon()),
        (AttemptEnd(stream=StreamEnd.LEASE_LOST), Abandon()),
        (AttemptEnd(stream=StreamEnd.BROKEN), TryAgain(failed=True, pause_s=0.5)),
        (AttemptEnd(node_stopping=True), HandOver()),
        # Several at once.
        (AttemptEnd(run_over=True, node_stopping=True), Abandon()),
        (AttemptEnd(stream=StreamEnd.BROKEN, run_over=True), Abandon()),
        (AttemptEnd(stream=StreamEnd.BROKEN, node_stopping=True), HandOver()),
        (AttemptEnd(graph=GraphEnd.RAISED, run_over=True), Abandon()),
        (AttemptEnd(graph=GraphEnd.RAISED, node_stopping=True), HandOver()),
        (AttemptEnd(graph=GraphEnd.STORE_LOST, run_over=True), Abandon()),
        (AttemptEnd(graph=GraphEnd.STORE_LOST, node_stopping=True), HandOver()),
    ],
)
def test_what_ends_an_attempt_beside_its_graph_leads_to_one_decision(end: AttemptEnd, decision: object) -> None:
    assert decide(end, FIRST) == decision


@pytest.mark.parametrize(("graph", "decision"), [(GraphEnd.ANSWERED, ANSWERED), (GraphEnd.ASKED, ASKED)])
def test_an_answer_is_written_whatever_else_comes_at_the_same_moment(graph: GraphEnd, decision: Finish) -> None:
    for stream, run_over, stopping in product((None, *StreamEnd), (False, True), (False, True)):
        assert decide(AttemptEnd(graph, stream, run_over, stopping), FIRST) == decision


def test_a_run_fails_with_the_last_failure_it_is_allowed() -> None:
    pauses = []
    for failures in range(2):
        decision = decide(AttemptEnd(graph=GraphEnd.RAISED), replace(FIRST, failures=failures))
        assert isinstance(decision, TryAgain)
        pauses.append(decision.pause_s)
    assert pauses == [0.5, 1.0]
    assert decide(AttemptEnd(graph=GraphEnd.RAISED), LAST) == failed(
        "graph_failed", "the agent tried 3 times and could not answer"
    )
    assert decide(AttemptEnd(graph=GraphEnd.RAISED), replace(FIRST, failures_allowed=1)) == failed(
        "graph_failed", "the agent tried once and could not answer"
    )


def test_a_stream_that_breaks_in_each_attempt_fails_the_run_with_a_reason_of_its_own() -> None:
    decision = decide(AttemptEnd(stream=StreamEnd.BROKEN), LAST)
    assert decision == failed("graph_failed", "what the agent said could not be shown")


def test_a_lost_store_is_no_failure_of_the_graph_and_its_pauses_are_bounded() -> None:
    ends = [decide(AttemptEnd(graph=GraphEnd.STORE_LOST), replace(LAST, attempt=n)) for n in range(1, 8)]
    assert ends == [TryAgain(failed=False, pause_s=pause) for pause in (0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0)]


def test_a_run_that_ended_two_nodes_is_not_started_on_a_third_unless_another_may_have_ended_them() -> None:
    assert [has_ended_nodes(lost, shared=False) for lost in range(4)] == [False, False, True, True]
    assert [has_ended_nodes(lost, shared=True) for lost in range(6)] == [False] * 3 + [True] * 3


def test_a_run_is_not_started_more_often_than_is_allowed() -> None:
    assert [too_many(attempt) for attempt in (1, MAX_ATTEMPTS, MAX_ATTEMPTS + 1)] == [False, False, True]

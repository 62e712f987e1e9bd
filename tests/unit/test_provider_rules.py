"""The model servers of the tests refuse what OpenAI and Anthropic refuse, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.rules import SIGNATURE, anthropic_problem, openai_problem

ASK = {"role": "user", "content": "go"}


def openai_call(*ids: str) -> dict[str, Any]:
    function = {"name": "look_up", "arguments": "{}"}
    calls = [{"id": call_id, "type": "function", "function": function} for call_id in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def openai_result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "found"}


def tool_use(call_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "look_up", "input": {}}


def tool_result(call_id: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": "found"}


def says(*blocks: dict[str, Any] | str) -> dict[str, Any]:
    content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    return {"role": "assistant", "content": content}


def user(*blocks: dict[str, Any] | str) -> dict[str, Any]:
    return {**says(*blocks), "role": "user"}


@pytest.mark.parametrize(
    "messages",
    [
        [ASK],
        [{"role": "system", "content": "You are x."}, {**ASK, "name": "ann-1"}],
        [
            ASK,
            openai_call("a", "b"),
            openai_result("b"),
            openai_result("a"),
            {"role": "assistant", "content": "x"},
        ],
        [ASK, openai_call("a"), openai_result("a"), openai_call("a"), openai_result("a"), ASK],
    ],
)
def test_openai_accepts_a_dialog_whose_calls_are_answered(messages):
    assert openai_problem({"messages": messages}) is None


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "empty array"),
        ([ASK, openai_call("a")], "did not have response messages: a"),
        ([ASK, openai_call("a"), ASK], "did not have response messages: a"),
        ([ASK, openai_call("a"), ASK, openai_result("a")], "did not have response messages: a"),
        ([ASK, openai_call("a", "b"), openai_result("a"), ASK], "did not have response messages: b"),
        ([ASK, openai_result("a")], "must be a response to a preceeding message"),
        ([ASK, openai_call("a"), openai_result("a"), openai_result("a")], "must be a response to a preceeding"),
        (
            [ASK, openai_call("a"), openai_result("a"), ASK, openai_result("a")],
            "must be a response to a preceeding",
        ),
        ([{"role": "human", "content": "go"}], "Invalid value: 'human'"),
        ([{"role": "user", "content": None}], "got null"),
        ([{**ASK, "name": "Ann Lee"}], "does not match pattern"),
        ([ASK, {"role": "assistant", "content": "x", "tool_calls": []}], "empty array"),
        ([{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}], "Invalid value: 'thinking'"),
    ],
)
def test_openai_refuses_a_dialog_that_breaks_its_rules(messages, told):
    problem = openai_problem({"messages": messages})
    assert problem is not None
    assert told in problem.message


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": SIGNATURE}


@pytest.mark.parametrize(
    "messages",
    [
        [ASK],
        [ASK, ASK, says("yes"), says("indeed"), ASK],
        [
            ASK,
            says("Let me see.", tool_use("a")),
            says(tool_use("b")),
            user(tool_result("b"), tool_result("a"), "and?"),
        ],
        [ASK, says(tool_use("a")), user(tool_result("a")), ASK],
    ],
)
def test_anthropic_accepts_a_dialog_whose_calls_are_answered(messages):
    assert anthropic_problem({"messages": messages, "max_tokens": 5}) is None


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "at least one message"),
        ([says("hello"), ASK], "first message must use the"),
        ([{"role": "system", "content": "x"}, ASK], "Unexpected role"),
        ([ASK, says(tool_use("a")), ASK], "immediately after: a"),
        ([ASK, says(tool_use("a"))], "immediately after: a"),
        ([ASK, says(tool_use("a"), tool_use("b")), user(tool_result("a"))], "immediately after: b"),
        ([ASK, says(tool_use("a")), user("wait", tool_result("a"))], "immediately after: a"),
        ([ASK, says(tool_use("a")), user(tool_result("a"), tool_result("a"))], "must have a single result"),
        ([ASK, says("x"), user(tool_result("a"))], "unexpected `tool_use_id`"),
        (
            [ASK, says(tool_use("a")), user(tool_result("a")), says(tool_use("a")), user(tool_result("a"))],
            "unique",
        ),
        ([ASK, says(" "), ASK], "non-whitespace"),
        ([ASK, {"role": "assistant", "content": ""}, ASK], "non-empty content"),
        ([ASK, says(tool_use("call:1")), user(tool_result("call:1"))], "match pattern"),
        ([ASK, says({**THOUGHT, "signature": "mine"}, "x"), ASK], "Invalid `signature`"),
    ],
)
def test_anthropic_refuses_a_dialog_that_breaks_its_rules(messages, told):
    problem = anthropic_problem({"messages": messages, "max_tokens": 5})
    assert problem is not None
    assert told in problem.message


def test_anthropic_wants_the_thinking_that_led_to_a_call_back():
    def asked(*blocks: dict[str, Any]) -> dict[str, Any]:
        messages = [ASK, says(*blocks), user(tool_result("a"))]
        return {"messages": messages, "max_tokens": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}}

    assert anthropic_problem(asked(THOUGHT, tool_use("a"))) is None
    problem = anthropic_problem(asked(tool_use("a")))
    assert problem is not None
    assert "Expected `thinking`" in problem.message

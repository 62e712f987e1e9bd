"""The clients of LangChain and the model servers of the tests understand each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import reduce
from operator import add
from typing import Any

import anthropic
import openai
import pytest
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from tests.providers.server import Providers

PROVIDERS = ["openai:scripted", "anthropic:scripted"]


@pytest.fixture
async def models(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Providers]:
    async with Providers() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@tool
def look_up(what: str) -> str:
    """Look something up."""
    return what


def model(name: str) -> Any:
    made: BaseChatModel = init_chat_model(name, max_retries=0)
    return made


async def streamed(model: Any, messages: list[Any]) -> Any:
    return reduce(add, [chunk async for chunk in model.astream(messages)])


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_script_is_played_to_its_end(models, name, stream):
    messages: list[Any] = [
        SystemMessage("You are the clerk."),
        HumanMessage('cook> say No.\nclerk> say So. + call look_up {"what": "tea"}\nsay It is {look_up}.'),
    ]
    bound = model(name).bind_tools([look_up])
    first = await (streamed(bound, messages) if stream else bound.ainvoke(messages))
    assert (first.text, [call["args"] for call in first.tool_calls]) == ("So.", [{"what": "tea"}])
    messages += [first, ToolMessage("green", tool_call_id=first.tool_calls[0]["id"])]
    assert (await (streamed(bound, messages) if stream else bound.ainvoke(messages))).text == "It is green."
    assert models.refused == []


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_call_without_its_result_is_refused_as_the_provider_does(models, name):
    asked = AIMessage("", tool_calls=[{"id": "call_1", "name": "look_up", "args": {"what": "tea"}}])
    error = openai.BadRequestError if name.startswith("openai") else anthropic.BadRequestError
    with pytest.raises(error, match="call_1"):
        await model(name).ainvoke([HumanMessage("go"), asked, HumanMessage("and?")])
    assert len(models.refused) == 1


async def test_a_model_waits_where_the_test_lets_it_wait(models):
    words: list[str] = []

    async def read() -> None:
        async for chunk in model("openai:scripted").astream([HumanMessage("say one hold:here two")]):
            words.append(chunk.text)

    reading = asyncio.create_task(read())
    await models.reached("here")
    assert "two" not in words
    models.release("here")
    await reading
    assert "".join(words) == "one two"


async def test_thinking_citations_and_a_refusal_come_as_anthropic_sends_them(models):
    claude = init_chat_model(
        "anthropic:scripted", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048, max_retries=0
    )
    said = await streamed(claude, [HumanMessage("think It is easy. + cite https://example.org Tea is green.")])
    assert [block["type"] for block in said.content_blocks] == ["reasoning", "text"]
    assert said.content_blocks[1]["annotations"][0]["url"] == "https://example.org"
    refused = await streamed(claude, [HumanMessage("refuse I will not.")])
    assert refused.response_metadata["stop_reason"] == "refusal"


async def test_an_answer_in_a_schema_is_chosen_by_the_schemas_name(models):
    class Route(BaseModel):
        to: str

    router = model("openai:scripted").with_structured_output(Route)
    script = 'Route> json {"to": "kitchen"}\nsay Hello.'
    assert await router.ainvoke([HumanMessage(script)]) == Route(to="kitchen")
    assert (await model("openai:scripted").ainvoke([HumanMessage(script)])).text == "Hello."

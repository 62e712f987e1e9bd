"""Graphs whose messages say what they shall do, so that a test decides when something happens.

A gate is a file: a graph that has come to one waits until the test has made it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt

WORD_S = 0.02


async def gate(path: str) -> None:
    """Wait until the file is there."""
    while not exists(path):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def exists(path: str) -> bool:
    return Path(path).exists()


class Speaker(BaseChatModel):
    """Says the last message it is given word by word; at a word `gate:<path>` it waits, and leaves it out."""

    @property
    def _llm_type(self) -> str:
        return "speaker"

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for word in str(messages[-1].text).split(" "):
            if word.startswith("gate:"):
                await gate(word.removeprefix("gate:"))
                continue
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))
            await asyncio.sleep(WORD_S)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=messages[-1].text))])


async def speak(text: str) -> AIMessage:
    """What the speaker has said, streamed."""
    return AIMessage(**(await Speaker().ainvoke([AIMessage(content=text)])).model_dump(include={"content", "id"}))


def last_heard(state: MessagesState) -> str:
    """The text of the message to answer."""
    return next(str(item.text) for item in reversed(state["messages"]) if isinstance(item, HumanMessage))


def memory(messages: list[AnyMessage]) -> str:
    """What is in the state, as JSON: the people's texts and the agent's."""
    heard = [str(item.text) for item in messages if isinstance(item, HumanMessage)]
    said = [str(item.text).strip() for item in messages if isinstance(item, AIMessage)]
    return json.dumps({"heard": heard, "said": said}, ensure_ascii=False)


# The teller says back what it is told; `recall` makes it say what it knows; `needs <path>` fails without the
# file; `exit` tries to end the process.


async def tell(state: MessagesState) -> MessagesState:
    text = last_heard(state)
    if text == "recall":
        return {"messages": [AIMessage(content=memory(state["messages"]))]}
    if text == "exit":
        asyncio.get_running_loop().call_soon(sys.exit, 4)
        sys.exit(3)
    if text.startswith("needs ") and not exists(text.removeprefix("needs ")):
        raise RuntimeError("what is needed is not there")
    return {"messages": [await speak(text)]}


telling = StateGraph(MessagesState)
telling.add_node("tell", tell)
telling.add_edge(START, "tell")
telling.add_edge("tell", END)
teller = telling.compile()


# The asker asks as often as the message says (`ask 2`), perhaps behind a gate first, and answers with the values.
# `ask 2 anything` may be answered with any JSON.


def question(text: str) -> dict[str, Any]:
    return {
        "kind": "approval",
        "text": text,
        "action": {"name": "act", "args": {"what": text}},
        "options": [{"value": "approve", "label": "Yes"}, {"value": "reject", "label": "No"}],
        "free": True,
    }


async def ready(state: MessagesState) -> MessagesState:
    for word in last_heard(state).split(" "):
        if word.startswith("gate:"):
            await gate(word.removeprefix("gate:"))
    return {"messages": []}


async def ask(state: MessagesState) -> MessagesState:
    words = last_heard(state).split(" ")
    if words[0] == "recall":
        return {"messages": [AIMessage(content=memory(state["messages"]))]}
    times = int(words[1]) if words[0] == "ask" else 0
    texts = [f"question {number}?" for number in range(1, times + 1)]
    values = [interrupt({"text": text} if words[-1] == "anything" else question(text)) for text in texts]
    return {"messages": [AIMessage(content=json.dumps({"to": last_heard(state), "values": values}))]}


asking = StateGraph(MessagesState)
asking.add_node("ready", ready)
asking.add_node("ask", ask)
asking.add_edge(START, "ready")
asking.add_edge("ready", "ask")
asking.add_edge("ask", END)
asker = asking.compile()


# The pair asks two questions at once; the left one asks a second when it was answered "more".


class PairState(MessagesState):
    left: Any
    right: Any


async def ask_left(state: PairState) -> dict[str, Any]:
    values = [interrupt(question("left?"))]
    if values[0] == "more":
        values.append(interrupt(question("left again?")))
    return {"left": values}


async def ask_right(state: PairState) -> dict[str, Any]:
    return {"right": [interrupt(question("right?"))]}


async def tell_both(state: PairState) -> dict[str, Any]:
    return {"messages": [AIMessage(content=json.dumps({"left": state["left"], "right": state["right"]}))]}


pairing = StateGraph(PairState)
pairing.add_node("ask_left", ask_left)
pairing.add_node("ask_right", ask_right)
pairing.add_node("tell_both", tell_both)
pairing.add_edge(START, "ask_left")
pairing.add_edge(START, "ask_right")
pairing.add_edge(["ask_left", "ask_right"], "tell_both")
pairing.add_edge("tell_both", END)
pair = pairing.compile()


# The nested graph asks inside a subgraph, between two of its nodes.


async def prepare(state: MessagesState) -> MessagesState:
    return {"messages": [AIMessage(content="prepared")]}


async def decide(state: MessagesState) -> MessagesState:
    value = interrupt(question("inside?"))
    said = [str(item.text) for item in state["messages"] if isinstance(item, AIMessage)]
    return {"messages": [AIMessage(content=json.dumps({"value": value, "said": said}))]}


inside = StateGraph(MessagesState)
inside.add_node("prepare", prepare)
inside.add_node("decide", decide)
inside.add_edge(START, "prepare")
inside.add_edge("prepare", "decide")
inside.add_edge("decide", END)

nesting = StateGraph(MessagesState)
nesting.add_node("inside", inside.compile())
nesting.add_edge(START, "inside")
nesting.add_edge("inside", END)
nested = nesting.compile()


# The reporter calls tools, one of which fails, reports by the stream writer, and says something in two messages.


async def look_up(state: MessagesState) -> MessagesState:
    text = last_heard(state)
    writer = get_stream_writer()
    if text == "too much":
        writer({"much": "x" * 10_000})
    elif text.startswith("many"):
        for number in range(150):
            writer({"number": number})
    elif text == "odd":
        for item in (b"\x89PNG\xff", {"half": "\ud83d"}, {"nan": float("nan")}, {"object": object()}):
            writer(item)
    else:
        writer({"progress": 50, "text": "halfway"})
    calls = [
        {"id": "call-1", "name": "find", "args": {"where": "here", "size": 3}},
        {"id": "call-2", "name": "lose", "args": {}},
    ]
    return {"messages": [AIMessage(content="", tool_calls=calls)]}


async def use_tools(state: MessagesState) -> MessagesState:
    found = ToolMessage("found it", tool_call_id="call-1", name="find")
    lost = ToolMessage("it is lost", tool_call_id="call-2", name="lose", status="error")
    return {"messages": [found, lost]}


async def say_first(state: MessagesState) -> MessagesState:
    return {"messages": [await speak("First this.")]}


async def say_then(state: MessagesState) -> MessagesState:
    text = last_heard(state)
    gates = [word for word in text.split(" ") if word.startswith("gate:")]
    half = ["\ud83d"] if text == "half" else []
    return {"messages": [await speak(" ".join(["Then that.", *half, *gates]))]}


searching = StateGraph(MessagesState)
searching.add_node("look_up", look_up)
searching.add_node("use_tools", use_tools)
searching.add_edge(START, "look_up")
searching.add_edge("look_up", "use_tools")
searching.add_edge("use_tools", END)

reporting = StateGraph(MessagesState)
reporting.add_node("search", searching.compile())
reporting.add_node("say_first", say_first)
reporting.add_node("say_then", say_then)
reporting.add_edge(START, "search")
reporting.add_edge("search", "say_first")
reporting.add_edge("say_first", "say_then")
reporting.add_edge("say_then", END)
reporter = reporting.compile()


# The keeper keeps what it hears in the store, and answers with all that it has ever heard, in any conversation.


async def keep(state: MessagesState, runtime: Runtime[None]) -> dict[str, Any]:
    assert runtime.store is not None
    text = last_heard(state)
    await runtime.store.aput(("heard", "by the keeper"), text, {"text": text})
    return {}


def recall(state: MessagesState, runtime: Runtime[None]) -> dict[str, Any]:
    """A function without `async`, which runs in a thread."""
    assert runtime.store is not None
    found = runtime.store.search(("heard",), limit=100)
    return {"messages": [AIMessage(" ".join(sorted(item.value["text"] for item in found)))]}


keeping = StateGraph(MessagesState)
keeping.add_node("keep", keep)
keeping.add_node("recall", recall)
keeping.add_edge(START, "keep")
keeping.add_edge("keep", "recall")
keeper = keeping.compile()

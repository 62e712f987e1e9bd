"""Graphs that ask people in the forms of LangChain, of agent-inbox and of LangGraph, and at breakpoints.

Messages say what the graphs shall do; what they were answered stands in their answers.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel, Field

from tests.served.graphs import exists, gate, last_heard


class Caller(BaseChatModel):
    """Calls the tools that a message names as JSON, `[[name, args], ...]`, and answers with their results."""

    @property
    def _llm_type(self) -> str:
        return "caller"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            count = next(len(m.tool_calls) for m in reversed(messages) if isinstance(m, AIMessage))
            said = AIMessage(json.dumps([str(item.text) for item in messages[-count:]]))
        elif last.text.startswith("["):
            calls = [
                {"name": name, "args": args, "id": f"call-{len(messages)}-{number}"}
                for number, (name, args) in enumerate(json.loads(last.text))
            ]
            said = AIMessage("", tool_calls=calls)
        else:
            said = AIMessage(f"you said: {last.text}")
        return ChatResult(generations=[ChatGeneration(message=said)])


@tool
def send_mail(to: str, copies: int = 1) -> str:
    """Send a mail."""
    return f"sent to {to}, {copies}"


@tool
async def delete_file(path: str) -> str:
    """Delete a file; a path `gate:...` is waited for."""
    if path.startswith("gate:"):
        await gate(path.removeprefix("gate:"))
    return f"deleted {path}"


RULES: Any = {
    "send_mail": True,
    "delete_file": {"allowed_decisions": ["approve", "reject"], "description": "Delete it?"},
}
TOOLS = [send_mail, delete_file]
reviewed = create_agent(Caller(), TOOLS, middleware=[HumanInTheLoopMiddleware(RULES)])
called = create_agent(Caller(), TOOLS, middleware=[HumanInTheLoopMiddleware(RULES, interrupt_mode="per_call")])


def graph_of(node: Any) -> StateGraph[MessagesState]:
    """A graph of one node."""
    builder = StateGraph(MessagesState)
    builder.add_node("work", node)
    builder.add_edge(START, "work")
    return builder


def told(value: Any) -> dict[str, Any]:
    return {"messages": [AIMessage(json.dumps(value))]}


# agent-inbox


async def ask_inbox(state: MessagesState) -> dict[str, Any]:
    """Ask once (`one`), in a list, or twice at once (`two`)."""
    request: dict[str, Any] = {
        "action_request": {"action": "write_mail", "args": {"to": "ann"}},
        "config": {"allow_ignore": True, "allow_respond": True, "allow_edit": True, "allow_accept": True},
        "description": "A mail to Ann",
    }
    later = {**request, "config": {**request["config"], "allow_edit": False}, "description": None}
    asked: Any = {"one": request, "two": [request, later]}.get(last_heard(state), [request])
    return told(interrupt(asked))


inbox = graph_of(ask_inbox).compile()


# A schema of the answer


class Booking(BaseModel):
    """What is asked for."""

    people: Annotated[int, Field(ge=1, le=20)]
    room: Literal["blue", "red"] = "blue"
    name: Annotated[str, Field(pattern="^[a-z]+$")] = "ann"


async def ask_typed(state: MessagesState) -> dict[str, Any]:
    """Ask with a type; with a schema in the question (`inside`); with one that cannot be used (`broken`)."""
    if last_heard(state) == "inside":
        return told(interrupt({"question": "How many?", "response_schema": {"type": "integer"}}))
    if last_heard(state) == "broken":
        return told(interrupt({"question": "What?", "response_schema": {"type": 7}}))
    return told(interrupt("Which room?", response_schema=Booking).model_dump())


typed = graph_of(ask_typed).compile()


# Graphs that cannot use every answer. No form says so.


class FussyState(MessagesState):
    first: str
    second: str


async def ask_first(state: FussyState) -> dict[str, Any]:
    return {"first": understood(interrupt("first?"))}


async def ask_second(state: FussyState) -> dict[str, Any]:
    return {"second": understood(interrupt("second?")) if last_heard(state) == "two" else "-"}


def understood(answer: Any) -> str:
    """A word other than `wrong`."""
    if answer == "wrong":
        raise ValueError("what is that?")
    return str(answer)


async def tell_all(state: FussyState) -> dict[str, Any]:
    if state["first"] == "late":
        raise RuntimeError("it fails after the answer was used")
    return told([state["first"], state["second"]])


fussing = StateGraph(FussyState)
for name, node in (("ask_first", ask_first), ("ask_second", ask_second), ("tell_all", tell_all)):
    fussing.add_node(name, node)
fussing.add_edge(START, "ask_first")
fussing.add_edge(START, "ask_second")
fussing.add_edge(["ask_first", "ask_second"], "tell_all")
fussy = fussing.compile()

nesting = StateGraph(FussyState)
nesting.add_node("inside", fussing.compile())
nesting.add_edge(START, "inside")
nested_fussy = nesting.compile()


# Breakpoints: before `act`, and after `look`. `act` fails while the file of a message `needs <path>` is not there.


async def look(state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage("looked")]}


async def think(state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage("thought")]}


async def act(state: MessagesState) -> dict[str, Any]:
    text = last_heard(state)
    if text.startswith("needs ") and not exists(text.removeprefix("needs ")):
        raise RuntimeError("what is needed is not there")
    said = [str(item.text) for item in state["messages"] if isinstance(item, AIMessage)]
    return {"messages": [AIMessage(f"acted after {', '.join(said[-2:])}")]}


stepping = StateGraph(MessagesState)
for name, step in (("look", look), ("think", think), ("act", act)):
    stepping.add_node(name, step)
stepping.add_edge(START, "look")
stepping.add_edge("look", "think")
stepping.add_edge("think", "act")
stepping.add_edge("act", END)
stepped = stepping.compile(interrupt_before=["act"], interrupt_after=["look"])

around = StateGraph(MessagesState)
around.add_node("inside", stepping.compile(interrupt_before=["act"]))
around.add_edge(START, "inside")
nested_stepped = around.compile()

"""Graphs that do not take messages, and graphs that say what they were told beside them."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from tests.served.graphs import gate, last_heard, speak

# The qa answers a question by a key of its state; `silent` leaves the answer of the turn before where it is;
# `sure` asks first.


class Question(TypedDict):
    question: str
    answer: Any


async def answer(state: Question) -> dict[str, Any]:
    text = state["question"]
    if text == "silent":
        return {"question": "nothing"}
    if text == "data":
        return {"answer": {"rooms": ["blue"], "free": True}}
    if text == "sure":
        return {"answer": f"so it is {interrupt('Are you sure?')}"}
    return {"answer": str((await speak(f"You asked: {text}")).text).strip()}


asking = StateGraph(Question)
asking.add_node("reply", answer)
asking.add_edge(START, "reply")
qa = asking.compile()


# The notes are an entrypoint that keeps all texts; each is written down by a task, which is not repeated.


@task
async def write_down(path: str, text: str) -> str:
    with open(path, "a", encoding="utf-8") as file:  # noqa: ASYNC230
        file.write(text + "\n")
    return text


@entrypoint()
async def notes(text: str, *, previous: list[str] | None = None) -> entrypoint.final[str, list[str]]:
    """`write <file> <gate>`: writes the text into the file, once, and waits at the gate; `ask` asks."""
    words = text.split(" ")
    if words[0] == "write":
        await write_down(words[1], text)
        await gate(words[2])
    if words[0] == "ask":
        text = f"asked and told {interrupt('What?')}"
    kept = [*(previous or []), text]
    await speak(f"noted {len(kept)}")
    return entrypoint.final(value=json.dumps(kept), save=kept)


# The tellme says what it was given as context, and by whom.


@dataclass(kw_only=True)
class Context:
    tenant: str
    style: Literal["short", "long"] = "short"
    limit: int = 3


async def tell_me(state: MessagesState, runtime: Runtime[Context]) -> MessagesState:
    if last_heard(state) == "ask":
        interrupt("Who answers?")
    given = get_config()["configurable"]
    user = runtime.server_info.user if runtime.server_info else None
    said = {
        "context": vars(runtime.context),
        "user_id": given["user_id"],
        "device_id": given["device_id"],
        "auth_user": dict(given["langgraph_auth_user"]),
        "auth_user_id": given["langgraph_auth_user_id"],
        "server_user": user.identity if user else None,
        "conversation_id": given["conversation_id"],
        "tenant": given["tenant"],
    }
    return {"messages": [AIMessage(json.dumps(said))]}


telling = StateGraph(MessagesState, context_schema=Context)
telling.add_node("tell_me", tell_me)
telling.add_edge(START, "tell_me")
tellme = telling.compile()


# The told is called by a name that is no id.


async def tell(state: MessagesState) -> MessagesState:
    return {"messages": [AIMessage("here to help")]}


helping = StateGraph(MessagesState)
helping.add_node("tell", tell)
helping.add_edge(START, "tell")
told = helping.compile()


# The old takes its configuration as graphs did before there were contexts.


class Configuration(TypedDict, total=False):
    colour: str
    thread_id: str
    user_id: str


async def configured(state: MessagesState, config: RunnableConfig) -> MessagesState:
    given = config["configurable"]
    said = {name: given.get(name) for name in ("colour", "thread_id", "user_id")}
    return {"messages": [AIMessage(json.dumps(said))]}


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    configuring = StateGraph(MessagesState, config_schema=Configuration)  # type: ignore[call-arg]
configuring.add_node("configured", configured)
configuring.add_edge(START, "configured")
old = configuring.compile()

"""A graph of three nodes, a, b and c, that a message can tell to die, wait, block, fail or ask at any point.

A message holds commands such as `kill@b`:
    kill@<point>    kill -9 of this process, once for this message
    hold@<point>    wait until the test says how to go on, once for this message
    block@<point>   block the event loop for BLOCK_S seconds
    fail@<point>    raise, always; `fail2@<point>` only twice; at `merge` once
    ask@<node>      ask one question; `ask2@<node>` two, one after the other
Points in their order: `input` (the message is merged into the state: nothing is checkpointed yet), `a`, `b`
(within the node), `b-1`, `b-2` (in b, after its first and second question were answered), `merge` (what b wrote
is merged into the state), `c`, `words` (c has said something), `end` (the last checkpoint is written, the answer
is not). The answer is JSON: all that the state holds.

Executions of nodes are recorded in Redis as `<seq of the message>:<node>`, outside the graph's state; and, for the
history checker, their beginnings and ends with run, fencing token and time.
"""

from __future__ import annotations

import asyncio
import json
import operator
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, TypedDict

import redis as sync_redis
import redis.asyncio as async_redis
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt

BLOCK_S = 6.0  # twice as long as a lease lasts
HOLD_S = 60
COMMAND = re.compile(r"\b(kill|hold|block|fail|ask)(\d*)@([\w-]+)")
DETAIL = "a detail of the graph that is nobody's business"


def ran_key(conversation_id: str) -> str:
    """List: what was executed."""
    return f"steps:{conversation_id}:ran"


def held_key(conversation_id: str) -> str:
    """List: ports of the nodes that wait."""
    return f"steps:{conversation_id}:held"


def go_key(conversation_id: str) -> str:
    """List: how to go on, `go`, `kill` or `fail`."""
    return f"steps:{conversation_id}:go"


def died_key(conversation_id: str) -> str:
    """List: the monotonic time of each death, which is the same clock for all processes of this machine."""
    return f"steps:{conversation_id}:died"


def noted_key(conversation_id: str) -> str:
    """List: what began and ended, as JSON: `[began or ended, run, node, number of the fencing token, time]`."""
    return f"steps:{conversation_id}:noted"


def connection() -> sync_redis.Redis:
    """For commands that take no time; made when it is needed, in the process and thread that needs it."""
    return sync_redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def told(text: str, what: str, point: str) -> str | None:
    """The number in a command of the message, which may be empty, or None where there is no such command."""
    return next((m[2] for m in COMMAND.finditer(text) if (m[1], m[3]) == (what, point)), None)


def die(conversation_id: str) -> None:
    """As if the power had gone."""
    connection().rpush(died_key(conversation_id), time.monotonic())
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # the signal is on its way, and nothing more is done


def once(turn: str, what: str) -> bool:
    """Whether this is the first time in this turn, on any node."""
    return bool(connection().set(f"steps:{turn}:{what}", 1, nx=True))


def die_if_told(text: str, turn: str, point: str) -> None:
    if told(text, "kill", point) is not None and once(turn, f"kill-{point}"):
        die(conversation_of(turn))


async def at(point: str, message: BaseMessage) -> None:
    """Do what the message says to do here."""
    text, turn = message.text, str(message.id)
    conversation_id = conversation_of(turn)
    die_if_told(text, turn, point)
    if told(text, "hold", point) is not None and once(turn, f"hold-{point}"):
        # Without a timeout: a process that was paused for long shall go on as if nothing had been.
        client = async_redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, socket_timeout=None)
        async with client:
            await client.rpush(held_key(conversation_id), os.environ["PORT"])
            said = await client.blpop([go_key(conversation_id)], timeout=HOLD_S)
        if said is not None and said[1] == "kill":
            die(conversation_id)
        if said is not None and said[1] == "fail":
            raise RuntimeError(DETAIL)
    if told(text, "block", point) is not None:
        time.sleep(BLOCK_S)  # noqa: ASYNC251 - as graphs do that call a library which knows no asyncio
    times = told(text, "fail", point)
    if times is not None and (not times or connection().incr(f"steps:{turn}:fail-{point}") <= int(times)):
        raise RuntimeError(DETAIL)


def conversation_of(turn: str) -> str:
    return turn.rpartition(":")[0]


def merge_messages(left: Any, right: Any) -> Any:
    """`add_messages`, which may be the last thing a process does."""
    for message in right if isinstance(right, list) else [right]:
        if isinstance(message, HumanMessage):
            die_if_told(message.text, str(message.id), "input")
    return add_messages(left, right)


def merge_trail(left: list[str], right: list[str]) -> list[str]:
    """Add what a node wrote, which may be the last thing a process does. `<turn>/<node>` and `!` for that."""
    for item in right:
        turn = item.partition("/")[0]
        if item.endswith("!") and once(turn, "kill-merge"):
            die(conversation_of(turn))
        if item.endswith("?") and once(turn, "fail-merge"):
            raise RuntimeError(DETAIL)
    return left + right


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], merge_messages]
    trail: Annotated[list[str], merge_trail]  # what each node has written, of all turns
    replies: Annotated[list[str], operator.add]  # what b was answered, of all turns


class Speaker(BaseChatModel):
    """Says the text of the last message in small pieces."""

    pause: Callable[[], Awaitable[None]]

    @property
    def _llm_type(self) -> str:
        return "speaker"

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        text = messages[-1].text
        for start in range(0, len(text), 8):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text[start : start + 8]))
            await asyncio.sleep(0)
            if start == 16:
                await self.pause()

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=messages[-1].text))])


def heard(state: State) -> list[HumanMessage]:
    return [message for message in state["messages"] if isinstance(message, HumanMessage)]


async def begin(node: str, state: State, config: RunnableConfig) -> HumanMessage:
    """Record that the node is executed, and do what the message says to do in it."""
    message = heard(state)[-1]
    seq = str(message.id).rpartition(":")[2]
    connection().rpush(ran_key(config["configurable"]["conversation_id"]), f"{seq}:{node}")
    await at(node, message)
    return message


def noted(node: Callable[[State, RunnableConfig], Awaitable[State]]) -> Callable[..., Awaitable[State]]:
    """A node of the graph whose executions are told to the history checker."""

    def note(what: str, config: RunnableConfig) -> None:
        configurable = config["configurable"]
        number = int(configurable["fencing_token"].partition(".")[0])
        facts = [what, config["metadata"]["roomgraph_run"], node.__name__, number, time.monotonic()]
        connection().rpush(noted_key(configurable["conversation_id"]), json.dumps(facts))

    @wraps(node)
    async def executed(state: State, config: RunnableConfig) -> State:
        note("began", config)
        update = await node(state, config)
        note("ended", config)
        return update

    return executed


@noted
async def a(state: State, config: RunnableConfig) -> State:
    message = await begin("a", state, config)
    return {"trail": [f"{message.id}/a"]}


@noted
async def b(state: State, config: RunnableConfig) -> State:
    message = await begin("b", state, config)
    replies: list[str] = []
    asks = told(message.text, "ask", "b")
    for number in range(0 if asks is None else int(asks or 1)):
        replies.append(str(interrupt({"text": f"question {number + 1}"})))
        await at(f"b-{number + 1}", message)
    marks = {"kill": "!", "fail": "?"}
    mark = "".join(mark for what, mark in marks.items() if told(message.text, what, "merge") is not None)
    return {"trail": [f"{message.id}/b{mark}"], "replies": replies}


@noted
async def c(state: State, config: RunnableConfig) -> State:
    message = await begin("c", state, config)
    short = [item.rstrip("!?").rpartition(":")[2] for item in state["trail"]]
    holds = {
        "heard": [item.text for item in heard(state)],
        "said": sum(isinstance(item, AIMessage) for item in state["messages"]),
        "trail": short,
        "replies": state.get("replies", []),
    }
    speaker = Speaker(pause=lambda: at("words", message))
    answer: Any = None
    async for chunk in speaker.astream([AIMessage(content=json.dumps(holds))], config):
        answer = chunk if answer is None else answer + chunk
    said = AIMessage(content=answer.text, id=answer.id)
    return {"messages": [said], "trail": [f"{message.id}/c"]}


class Steps(CompiledStateGraph[Any, Any, Any, Any]):
    """The graph, which may die after its last checkpoint."""

    async def astream(self, input: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for part in super().astream(input, *args, **kwargs):
            yield part
        if isinstance(input, dict) and "messages" in input:
            message = input["messages"][-1]
            die_if_told(message.text, str(message.id), "end")


builder = StateGraph(State)
builder.add_node("a", a)
builder.add_node("b", b)
builder.add_node("c", c)
builder.add_edge(START, "a")
builder.add_edge("a", "b")
builder.add_edge("b", "c")
builder.add_edge("c", END)
graph = builder.compile(name="steps")
graph.__class__ = Steps

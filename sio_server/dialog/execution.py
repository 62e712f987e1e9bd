"""One attempt at a run: the graph starts, or continues from an earlier attempt, until it ends or asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel
from langgraph.types import Command, Interrupt

from sio_server.conversation.runs import ClaimedRun
from sio_server.dialog.changed_graph import check_question, check_unchanged
from sio_server.dialog.reports import bounded_json, tool_calls, tool_outcome
from sio_server.dialog.savers.store import Saver
from sio_server.dialog.streaming import RunStream
from sio_server.dialog.threads import Tip, config_of, copy_tip, read_tip, tip_of
from sio_server.protocol.text import valid_unicode

Graph = Pregel[Any, Any, Any, Any]
MODES: list[Literal["messages", "updates", "custom", "values"]] = ["messages", "updates", "custom", "values"]


class NoAnswer(Exception):
    """The graph ended without a message from the assistant."""


@dataclass(frozen=True)
class Answer:
    """The text of the graph's answer, and the tools it called for it."""

    text: str
    tools: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Questions:
    """The graph waits for answers to its interrupts; `said` is its text in this attempt."""

    interrupts: list[Interrupt]
    said: str


class Execution:
    """One attempt at a run on a graph."""

    def __init__(
        self,
        graph: Graph,
        saver: Saver,
        adopt: Callable[[str], Awaitable[None]],
        run: ClaimedRun,
        stream: RunStream,
        on_step: Callable[[str, int], None],
        *,
        max_steps: int,
        report_state: bool = False,
    ) -> None:
        """`adopt(checkpoint_id)` is awaited when the graph is about to continue from that checkpoint.

        `report_state`: what nodes return is reported, and not their names only.
        """
        self._graph = graph
        self._report_state = report_state
        self._saver = saver
        self._adopt = adopt
        self._run = run
        self._stream = stream
        self._max_steps = max_steps
        self._interrupts: list[Interrupt] = []
        self._reported: set[tuple[str, str]] = set()
        self._values: dict[str, Any] = {}
        self._on_step = on_step  # called with a node's name, and the checkpoints of the run that its step made
        self._checkpoints = 0
        self._ran: list[str] = []  # nodes of the graph whose step has no checkpoint yet

    async def run_graph(self) -> Answer | Questions:
        """Execute until the graph ends or asks. Raises NoAnswer, GraphChanged, and whatever the graph raises."""
        config = config_of(self._run)
        if "recursion_limit" not in (self._graph.config or {}):
            config["recursion_limit"] = self._max_steps
        given = await self._begin(config)
        if given != {}:
            parts = self._graph.astream(given, config, stream_mode=MODES, subgraphs=True, durability="sync")
            async for namespace, mode, part in parts:
                self._on_part(namespace, mode, part)
        if self._interrupts:
            return Questions(self._interrupts, self._stream.said)
        answer = self._answer()
        if not answer.text:
            raise NoAnswer("the graph ended without an answer")
        return answer

    async def _begin(self, config: RunnableConfig) -> dict[str, Any] | Command[Any] | None:
        """Copy the state of the dialog; return the graph's input: a message, answers, or None to continue.

        An empty dictionary means that an earlier attempt has brought the graph to its end.
        """
        run, saver = self._run, self._saver
        has_subgraphs = any(True for _ in self._graph.get_subgraphs())
        continues = run.attempt > 1 or run.kind == "resume"
        copied = []
        if run.source:
            copied = await copy_tip(saver, run, whole=continues, subgraphs=continues or has_subgraphs)
        tip = tip_of(copied)
        await self._adopt(tip.root.checkpoint["id"] if tip.root else "")
        start = Tip()
        if run.began_from and (run.attempt > 1 or run.kind == "resume"):
            start = tip_of(await read_tip(saver, run.began_from, subgraphs=run.kind == "resume"))
        is_beyond = run.attempt > 1 and tip.is_beyond(start)
        if is_beyond or run.kind == "resume":
            check_unchanged(self._graph, copied)
        if is_beyond:
            taking_in = 2 if run.kind == "message" else 0  # checkpoints before that of the graph's first node
            self._checkpoints = max(0, tip.step - start.step - taking_in)
            state = await self._graph.aget_state(config)
            self._values = state.values
            # Not `next`: that leaves out tasks whose writes are stored but not merged, and so all that follows.
            return None if state.tasks else {}
        if run.kind == "resume":
            check_question(copied, {task.id for task in (await self._graph.aget_state(config)).tasks})
            unused = tip.unused(run.answers, start)
            return Command(resume=unused) if unused else None
        if run.input is None:
            raise NoAnswer("the message is older than the log's retention")
        data = run.input["data"]
        # Plain strings only: the checkpointer revives dictionaries that are shaped like constructors.
        message = HumanMessage(content=str(data["text"]), name=str(data["user_id"]), id=self._message_id)
        return {"messages": [message]}

    @property
    def _message_id(self) -> str:
        """Made of the message's place in the log, so that it is the same in every attempt."""
        return f"{self._run.conversation_id}:{self._run.input_seq}"

    def _on_part(self, namespace: Any, mode: Any, part: Any) -> None:
        if mode == "messages":
            message = part[0]
            if isinstance(message, (AIMessage, AIMessageChunk)):
                self._stream.add_text(message.id, valid_unicode(str(message.text)))
        elif mode == "custom":
            self._stream.add_report({"kind": "custom", "data": bounded_json(part)})
        elif mode == "updates":
            for node, update in part.items():
                if node == "__interrupt__":
                    if not namespace:  # the root names those of its subgraphs too
                        known = {interrupt.id for interrupt in self._interrupts}
                        self._interrupts += [interrupt for interrupt in update if interrupt.id not in known]
                    continue
                self._report_tools(update)
                if not namespace:
                    self._ran.append(node)
                names = [name.split(":")[0] for name in namespace]
                report: dict[str, Any] = {"kind": "node", "path": [*names, node]}
                if self._report_state:
                    report["data"] = bounded_json(update)
                self._stream.add_report(report)
        elif mode == "values" and not namespace:
            self._values = part
            if self._ran:
                self._checkpoints += 1
                for node in self._ran:
                    self._on_step(node, self._checkpoints)
                self._ran.clear()

    def _report_tools(self, update: Any) -> None:
        """Report tool calls and their results, each once: those of a subgraph come again from its parent graph."""
        updates = update if isinstance(update, list) else [update]
        for message in (m for item in updates for m in _messages(item)):
            news = []
            if isinstance(message, AIMessage):
                news = tool_calls([message])
            elif isinstance(message, ToolMessage):
                news = [{"id": message.tool_call_id, "name": message.name, **tool_outcome(message)}]
            for tool in news:
                if (tool["id"], tool["status"]) not in self._reported:
                    self._reported.add((tool["id"], tool["status"]))
                    self._stream.add_report({"kind": "tool", "tool": tool})

    def _answer(self) -> Answer:
        """The last text of the assistant since the message of this run, or of a tool that answers for it."""
        messages = list(_messages(self._values))
        asked_at = next((n for n, item in enumerate(messages) if item.id == self._message_id), -1)
        since = messages[asked_at + 1 :]
        spoken = [item.text for item in since if isinstance(item, AIMessage) and item.text]
        spoken = spoken or [item.text for item in since if isinstance(item, ToolMessage) and item.text]
        return Answer(valid_unicode(str(spoken[-1])) if spoken else "", tool_calls(since))


def _messages(state: Any) -> list[BaseMessage]:
    if not isinstance(state, dict):
        return []
    found = state.get("messages", [])
    found = found if isinstance(found, list) else [found]
    return [item for item in found if isinstance(item, BaseMessage)]

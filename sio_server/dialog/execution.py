"""One attempt at a run: the graph starts, or continues from an earlier attempt, until it ends or asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.pregel import Pregel
from langgraph.types import Command, Interrupt, Overwrite

from sio_server.conversation.runs import ClaimedRun
from sio_server.dialog.answers import STRUCTURED, Answer, Earlier, Questions, Said, messages_of
from sio_server.dialog.attempt_saver import AttemptSaver
from sio_server.dialog.breakpoints import BREAKPOINT, breakpoint_question, nodes_ahead, unasked_breakpoint
from sio_server.dialog.changed_graph import check_question, check_unchanged
from sio_server.dialog.content import Content, ReadFile, content_of
from sio_server.dialog.graphs.adapters import MESSAGES, Adapter
from sio_server.dialog.graphs.served import Served
from sio_server.dialog.message_parts import data_part, is_bookkeeping
from sio_server.dialog.reports import ReportNodes, bounded_json, tool_calls, tool_outcome
from sio_server.dialog.savers.errors import StoreLost
from sio_server.dialog.speakers import Speakers
from sio_server.dialog.speech import Speech
from sio_server.dialog.streaming import RunStream
from sio_server.dialog.threads import Tip, config_of, copy_tip, read_tip, tip_of
from sio_server.dialog.tool_calls import with_answers
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.text import valid_unicode

Graph = Pregel[Any, Any, Any, Any]
CHECKPOINTER = "__pregel_checkpointer"  # LangGraph's name of the saver that a caller lends to a graph
MODES: list[Literal["updates", "custom", "values"]] = ["updates", "custom", "values"]


class NoAnswer(Exception):
    """The graph ended and has said nothing."""


class Execution:
    """One attempt at a run on a graph."""

    def __init__(
        self,
        graph: Graph,
        saver: AttemptSaver,
        run: ClaimedRun,
        stream: RunStream,
        on_step: Callable[[str, int], None],
        *,
        max_steps: int,
        report_nodes: ReportNodes = "names",
        served: Served | None = None,
        read_file: ReadFile | None = None,
    ) -> None:
        """`report_nodes`: whether the nodes that have run are reported, and what they return. `served`: what the
        graph takes; None: messages and no context. `read_file` reads the files of messages.
        """
        self._read_file = read_file
        self._graph = graph
        self._report_nodes = report_nodes
        self._adapter = served.adapter if served else None
        self._context_schema = served.context if served else None
        self._saver = saver
        self._run = run
        self._stream = stream
        self._max_steps = max_steps
        self._interrupts: list[Interrupt] = []
        self._stopped = False  # at a breakpoint
        self._ahead: list[str] = []  # nodes that the graph continues with when a breakpoint is answered
        self._reported: set[tuple[str, str]] = set()
        self._values: Any = {}
        self._on_step = on_step  # called with a node's name, and the checkpoints of the run that its step made
        self._checkpoints = 0
        self._ran: list[str] = []  # nodes of the graph whose step has no checkpoint yet
        self._earlier = Earlier()
        self._structured = False

    async def run_graph(self) -> Answer | Questions:
        """Execute until the graph ends or asks.

        Raises NoAnswer, GraphChanged, ContextMisfit, and whatever the graph raises.
        """
        config = config_of(self._run)
        config["configurable"][CHECKPOINTER] = self._saver
        if "recursion_limit" not in (self._graph.config or {}):
            config["recursion_limit"] = self._max_steps
        context: Any = self._run.context
        if self._context_schema is not None:
            context = self._context_schema.make(context)
        given = await self._begin(config)
        speech = Speech(self._stream, Speakers(self._graph, self._run.graph, self._run.agent_name))
        config["callbacks"] = [speech]
        if given != {} and not self._ahead:
            stream = self._graph.astream(
                given, config, context=context, stream_mode=MODES, subgraphs=True, durability="sync"
            )
            async for namespace, mode, part in stream:
                self._on_part(namespace, mode, part)
        if not self._saver.has_begun:
            await self._saver.flush()
        if self._stopped and not self._interrupts:
            self._ahead = nodes_ahead(await self._graph.aget_state(config, subgraphs=True))
        if self._ahead:
            self._interrupts = [breakpoint_question(self._ahead)]
        said = Said(
            self._values if isinstance(self._values, dict) else {},
            self._message_id,
            self._earlier,
            speech,
            self._stream.parts,
            self._run.agent_name,
            self._structured,
        )
        if self._interrupts:
            return Questions(self._interrupts, said.before_question())
        answer = said.answer()
        if self._adapter is not None and (text := await self._adapted(self._adapter)):
            text = valid_unicode(text)
            parts = answer.parts if answer and answer.text == text else []
            answer = Answer(text, parts, answer.tools if answer else [])
        if answer is None:
            raise NoAnswer("the graph ended without an answer")
        return answer

    async def _begin(self, config: RunnableConfig) -> Any:
        """Copy the state of the dialog; return the graph's input: a message, answers, or None to continue.

        An empty dictionary means that an earlier attempt has brought the graph to its end.
        """
        run, saver = self._run, self._saver
        has_subgraphs = any(True for _ in self._graph.get_subgraphs())
        continues = run.attempt > 1 or run.kind == "resume"
        started: list[CheckpointTuple] = []
        if run.began_from and continues:
            started = await read_tip(saver, run.began_from, subgraphs=run.kind == "resume" or has_subgraphs)
        start = tip_of(started)
        copied: list[CheckpointTuple] = []

        def repaired(latest: list[CheckpointTuple]) -> list[CheckpointTuple]:
            # Not in the middle of a turn, when the calls are being answered.
            begins = run.kind == "message" and not (continues and tip_of(latest).is_beyond(start))
            return [_with_answered_calls(item) for item in latest] if begins else latest

        if run.source:
            subgraphs = continues or has_subgraphs
            known = started if run.source == run.began_from and run.kind == "resume" else None
            copied = await copy_tip(
                saver, run, whole=continues, subgraphs=subgraphs, change=repaired, latest=known
            )
        tip = tip_of(copied)
        await saver.begin(self._graph, copied, whole=continues)
        is_beyond = run.attempt > 1 and tip.is_beyond(start)
        if is_beyond or run.kind == "resume":
            check_unchanged(self._graph, copied)
        before = await self._state_before(start if continues else tip)
        self._earlier = Earlier.of(before, started if continues else copied, asked=run.kind == "resume")
        if run.attempt > 1:
            self._ahead = await unasked_breakpoint(self._graph, saver, config, copied, started)
        if is_beyond:
            taking_in = 2 if run.kind == "message" else 0  # checkpoints before that of the graph's first node
            self._checkpoints = max(0, tip.step - start.step - taking_in)
            state = await self._graph.aget_state(config)
            self._values = state.values
            # Not `next`: that leaves out tasks whose writes are stored but not merged, and so all that follows.
            return None if state.tasks else {}
        if run.kind == "resume":
            check_question(copied, {task.id for task in (await self._graph.aget_state(config)).tasks})
            given = {one: value for one, value in run.answers.items() if one != BREAKPOINT}
            unused = tip.unused(given, start)
            return Command(resume=unused) if unused else None
        if run.input is None:
            raise NoAnswer("the message is older than the log's retention")
        data = run.input["data"]
        # Strings and blocks made of them: the checkpointer revives dictionaries that are shaped like constructors.
        content = await self._content(data)
        message = HumanMessage(content=content, name=str(data["user_id"]), id=self._message_id)
        if self._adapter is not None:
            return self._adapter.input(message)
        return {"messages": _after_unanswered_calls(message, tip, before)}

    async def _content(self, data: Mapping[str, Any]) -> Content:
        try:
            return await content_of(self._run.conversation_id, data, self._run.quoted, self._read_file)
        except Unavailable as exc:  # it is tried again, as without the checkpoints
            raise StoreLost(exc.message) from exc

    async def _state_before(self, start: Tip) -> Mapping[str, Any]:
        """The values of the state in which the run began, as far as they say anything."""
        if start.root is None or MESSAGES not in self._graph.channels:
            return {}
        values: Mapping[str, Any] = start.root.checkpoint["channel_values"]
        if not isinstance(values.get(MESSAGES), list):  # a DeltaChannel is put together from its history
            values = (await self._graph.aget_state(_config_of(start.root))).values
        return values

    @property
    def _message_id(self) -> str:
        """Made of the message's place in the log, so that it is the same in every attempt."""
        return f"{self._run.conversation_id}:{self._run.input_seq}"

    def _on_part(self, namespace: Any, mode: Any, part: Any) -> None:
        if mode == "custom":
            self._stream.add_report({"kind": "custom", "data": bounded_json(part)})
        elif mode == "updates":
            for node, update in part.items():
                if node == "__interrupt__":
                    if not namespace:  # the root names those of its subgraphs too
                        self._stopped = not update
                        known = {interrupt.id for interrupt in self._interrupts}
                        self._interrupts += [interrupt for interrupt in update if interrupt.id not in known]
                    continue
                self._report_tools(update)
                if not namespace:
                    self._ran.append(node)
                    self._add_structured(update)
                self._report_node([name.split(":")[0] for name in namespace] + [node], update)
        elif mode == "values" and not namespace:
            self._values = part
            if self._ran:
                self._checkpoints += 1
                for node in self._ran:
                    self._on_step(node, self._checkpoints)
                self._ran.clear()

    def _report_node(self, path: list[str], update: Any) -> None:
        report: dict[str, Any] = {"kind": "node", "path": path}
        if self._report_nodes == "full":
            report["data"] = bounded_json(update)
        if self._report_nodes != "off":
            self._stream.add_report(report)

    def _report_tools(self, update: Any) -> None:
        """Report tool calls and their results, each once: those of a subgraph come again from its parent graph.

        An agent that is a node returns its whole history, in which there are calls of earlier turns.
        """
        updates = update if isinstance(update, list) else [update]
        for message in (m for item in updates for m in messages_of(item)):
            if message.id in self._earlier.ids or is_bookkeeping(message):
                continue
            news = []
            if isinstance(message, AIMessage):
                news = tool_calls([message])
            elif isinstance(message, ToolMessage):
                news = [{"id": message.tool_call_id, "name": message.name, **tool_outcome(message)}]
            for tool in news:
                if (tool["id"], tool["status"]) not in self._reported:
                    self._reported.add((tool["id"], tool["status"]))
                    self._stream.add_report({"kind": "tool", "tool": tool})

    def _add_structured(self, update: Any) -> None:
        for item in update if isinstance(update, list) else [update]:
            if isinstance(item, dict) and item.get(STRUCTURED) is not None:
                self._structured = True
                part = data_part(item[STRUCTURED], self._run.agent_name)
                self._stream.begin_part(part.kind, part.speaker, part.data)

    async def _adapted(self, adapter: Adapter) -> str | None:
        """What the graph has written for its answer in this turn; what it has kept from an earlier one is none."""
        if adapter.channel:
            threads = (self._run.base, self._run.thread_id)
            before, now = [await self._version(thread_id, adapter.channel) for thread_id in threads]
            if before == now:
                return None
        return adapter.answer(self._values)

    async def _version(self, thread_id: str, channel: str) -> Any:
        """The version of a channel in the latest checkpoint of a thread; None if nothing was written to it."""
        config: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        latest = await self._saver.aget_tuple(config) if thread_id else None
        return latest.checkpoint["channel_versions"].get(channel) if latest else None


def _config_of(item: CheckpointTuple) -> RunnableConfig:
    configurable = item.config["configurable"]
    return {"configurable": {"thread_id": configurable["thread_id"]}}


def _after_unanswered_calls(message: HumanMessage, tip: Tip, before: Mapping[str, Any]) -> Any:
    """The message; after errors for unanswered tool calls, in a state that could not be repaired as a copy."""
    if tip.root is None or isinstance(tip.root.checkpoint["channel_values"].get(MESSAGES), list):
        return [message]
    known = messages_of(before)
    answered = with_answers(known)
    if answered is None:
        return [message]
    if answered[: len(known)] == known:
        return [*answered[len(known) :], message]
    return Overwrite([*answered, message])


def _with_answered_calls(item: CheckpointTuple) -> CheckpointTuple:
    """The checkpoint, with an error for each tool call in its messages that has no result."""
    values = item.checkpoint["channel_values"]
    messages = values.get("messages")
    answered = with_answers(messages) if isinstance(messages, list) else None
    if answered is None:
        return item
    return item._replace(checkpoint={**item.checkpoint, "channel_values": {**values, "messages": answered}})

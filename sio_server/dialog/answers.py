"""What a run has said when its graph ends or asks, from the graph's state and from what was streamed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.types import Interrupt

from sio_server.dialog.message_parts import data_part, is_bookkeeping, parts_of
from sio_server.dialog.reports import plain_json, tool_calls
from sio_server.dialog.speech import Speech, messages_in
from sio_server.dialog.streaming import Part
from sio_server.protocol.text import valid_unicode
from sio_server.store.json_text import to_json

STRUCTURED = "structured_response"  # the key in the state of LangChain's agents


@dataclass(frozen=True)
class Answer:
    """What the graph has answered: the last text said, all parts, and the tools that were called for it."""

    text: str
    parts: list[Part] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Questions:
    """The graph waits for answers to its interrupts; `parts` are what was said before it asked."""

    interrupts: list[Interrupt]
    parts: list[Part] = field(default_factory=list)


@dataclass(frozen=True)
class Earlier:
    """The state in which the run began: what stands there has been said before."""

    ids: frozenset[str] = frozenset()
    structured: Any = None

    @staticmethod
    def of(values: Mapping[str, Any], latest: Sequence[CheckpointTuple], *, asked: bool) -> Earlier:
        """From the values of the state, and the latest checkpoints of the root and of its subgraphs.

        A subgraph that has asked returns its messages later. `asked`: tasks were left unfinished by a question,
        and others have written beside it.
        """
        found = [*messages_of(values)]
        for item in latest:
            found += messages_in(item.checkpoint["channel_values"])
            for _, _, value in (item.pending_writes or ()) if asked else ():
                found += messages_in(value)
        # A copy: the graph continues with the same objects, and may change them.
        structured = deepcopy(values.get(STRUCTURED))
        return Earlier(frozenset(message.id for message in found if message.id), structured)


@dataclass(frozen=True)
class Said:
    """All that the end of an attempt is known by."""

    values: Mapping[str, Any]  # the state
    asked_by: str  # id of the person's message that the turn began with
    earlier: Earlier
    speech: Speech
    streamed: Sequence[Part]  # in this attempt
    agent: str  # name of the main agent
    structured: bool  # a node has returned structured output in this attempt

    def answer(self) -> Answer | None:
        """The answer, or None if nothing was said: never what was said before this run."""
        since, new = self._since, self._new
        tools = tool_calls(since)
        parts = [part for message in new for part in self._parts(message)]
        text = self._text(new)
        value = self.values.get(STRUCTURED)
        if value is not None and (self.structured or value != self.earlier.structured):
            shown = data_part(value, self.agent)
            parts = [part for part in parts if not _is_json_of(part, plain_json(value))]
            return Answer(text or to_json(plain_json(value)), [*parts, shown], tools)
        if _says_something(parts):
            return Answer(text, parts, tools)
        # The state says nothing: a node may have kept what was said elsewhere, or taken it away again.
        inside = self.speech.inside_tools
        for found in (
            self._streamed_without(inside),
            self._result(new),
            self._streamed_without(),
            [part for message in since for part in self._parts(message)],  # before this run's question
            self._result(since),
        ):
            if _says_something(found):
                return Answer(_last_text(found), found, tools)
        return None

    def before_question(self) -> list[Part]:
        """What was said before the graph asked, by earlier attempts too."""
        before = [
            part for message in self._new if not self.speech.has_said(message) for part in self._parts(message)
        ]
        return [*before, *self._streamed_without()]

    def _streamed_without(self, numbers: Collection[int] = ()) -> list[Part]:
        """What was streamed without these parts, and without those of what has failed."""
        failed = self.speech.failed
        return [
            part for number, part in enumerate(self.streamed) if number not in failed and number not in numbers
        ]

    @property
    def _since(self) -> list[BaseMessage]:
        """The messages since the person's; if that was removed, those that are new."""
        messages = messages_of(self.values)
        for place, message in enumerate(messages):
            if message.id == self.asked_by:
                return messages[place + 1 :]
        return [message for message in messages if message.id and message.id not in self.earlier.ids]

    @property
    def _new(self) -> list[BaseMessage]:
        return [message for message in self._since if message.id not in self.earlier.ids]

    def _parts(self, message: BaseMessage) -> Iterator[Part]:
        if isinstance(message, AIMessage) and not is_bookkeeping(message):
            yield from parts_of(message, self.speech.speaker_of(message))

    def _text(self, messages: Sequence[BaseMessage]) -> str:
        """The text of the last message with one."""
        return next((text for message in reversed(messages) if (text := _text_of(self._parts(message)))), "")

    def _result(self, messages: Sequence[BaseMessage]) -> list[Part]:
        """The last result of a tool: small models often have nothing to add."""
        results = [
            valid_unicode(str(message.text))
            for message in messages
            if isinstance(message, ToolMessage) and message.text and not is_bookkeeping(message)
        ]
        return [Part("text", self.agent, results[-1])] if results else []


def messages_of(values: Any) -> list[BaseMessage]:
    """The messages of a state, or of a node's update of it."""
    if not isinstance(values, Mapping):
        return []
    found = values.get("messages", [])
    found = found if isinstance(found, list) else [found]
    return [item for item in found if isinstance(item, BaseMessage)]


def _text_of(parts: Iterator[Part]) -> str:
    return "\n\n".join(part.text for part in parts if part.kind == "text" and part.text)


def _last_text(parts: Sequence[Part]) -> str:
    return next((part.text for part in reversed(parts) if part.kind == "text" and part.text), "")


def _says_something(parts: Sequence[Part]) -> bool:
    return any(part.kind != "reasoning" and (part.text or part.data is not None) for part in parts)


def _is_json_of(part: Part, value: Any) -> bool:
    """Whether a text is structured output as the model wrote it."""
    if part.kind != "text" or not part.text.lstrip().startswith(("{", "[")):
        return False
    try:
        return bool(json.loads(part.text) == value)
    except ValueError:
        return False

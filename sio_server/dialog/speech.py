"""What the models and nodes of a graph say while it is executed, as parts of its stream.

LangGraph's stream mode `messages` loses which call of a model a chunk belongs to. Callbacks know it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langgraph.constants import TAG_HIDDEN, TAG_NOSTREAM
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, Overwrite
from pydantic import BaseModel

from sio_server.dialog.message_parts import BETWEEN_THOUGHTS, is_bookkeeping, parts_of, written
from sio_server.dialog.speakers import Speakers

# LangChain's marks of calls by middleware: a summary, a choice of tools.
_INTERNAL = ("lc_internal_call", "lc_source")


class PartStream(Protocol):
    """Where parts go: see RunStream."""

    def begin_part(self, kind: str, speaker: str, data: dict[str, Any] | None = None) -> int: ...

    def add_text(self, part: int, text: str) -> None: ...


class _Saying:
    """A message on its way into the stream. Text that follows reasoning is a part of its own."""

    def __init__(self, stream: PartStream, speaker: str) -> None:
        self.speaker = speaker
        self.texts: list[str] = []
        self.numbers: list[int] = []
        self._stream = stream
        self._kind = ""
        self._section: Any = None

    def write(self, chunk: AIMessage) -> None:
        for kind, text, section in written(chunk):
            said = text
            if kind != self._kind:
                self._kind = kind
                self._begin(kind)
            elif kind == "reasoning" and section != self._section:
                said = BETWEEN_THOUGHTS + text
            self._section = section
            self._stream.add_text(self.numbers[-1], said)
            if kind == "text":
                self.texts.append(text)

    def end(self, message: AIMessage) -> None:
        """Say what has not been said as text: all of a message that came whole, or its images and citations."""
        streamed = bool(self.numbers)
        for part in parts_of(message, self.speaker):
            if part.data is not None:
                self._begin(part.kind, part.data)
            elif not streamed:
                self._begin(part.kind)
                self._stream.add_text(self.numbers[-1], part.text)
                if part.kind == "text":
                    self.texts.append(part.text)

    def _begin(self, kind: str, data: dict[str, Any] | None = None) -> None:
        self.numbers.append(self._stream.begin_part(kind, self.speaker, data))


class _Silence:
    """A call of a model that is not said; what a node makes of it may be."""

    def __init__(self, hides_message: bool) -> None:
        self.hides_message = hides_message  # also when a node returns the very message


class Speech(BaseCallbackHandler):
    """Follows each call of a model, and each node, of one attempt. Create it in the loop that owns the stream.

    Each message is said once: as its model writes it, or when a node returns it that no model has written.
    Messages that a node was given are not its own.
    """

    run_inline = True  # in the thread of the call: an executor would mix up the order

    def __init__(self, stream: PartStream, speakers: Speakers) -> None:
        self.inside_tools: set[int] = set()  # parts that models within tools have said
        self._stream = stream
        self._speakers = speakers
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._calls: dict[UUID, _Saying | _Silence] = {}
        self._nodes: dict[UUID, str] = {}  # run -> who speaks in what the node returns
        self._tools: dict[UUID, str] = {}  # run -> the innermost tool that it is part of
        self._node_of: dict[UUID, UUID] = {}  # run -> the innermost node that it is part of
        self._said_in: dict[UUID, list[_Saying]] = {}  # node -> what models have said in it
        self._failed: list[_Saying] = []
        self._known: set[str] = set()  # ids of messages that are said, or were given
        self._speaker_of: dict[str, str] = {}  # message id -> who said it
        self._unreturned: dict[str, str] = {}  # id of a message that no node has returned yet -> its text

    @property
    def failed(self) -> set[int]:
        """Parts of calls that have failed, and of nodes that have: what is done again is said again."""
        return {number for saying in self._failed for number in saying.numbers}

    def has_said(self, message: BaseMessage) -> bool:
        """Whether this attempt has said the message."""
        return message.id in self._speaker_of

    def speaker_of(self, message: BaseMessage) -> str:
        """Who says a message of the state."""
        return self._speakers.of_message(message, self._speaker_of.get(message.id or "", ""))

    # Models

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A model is called."""
        about = metadata or {}
        structured = _is_structured(kwargs)
        silent = structured or TAG_NOSTREAM in (tags or ()) or any(name in about for name in _INTERNAL)
        self._in_loop(self._begin_call, run_id, parent_run_id, about, silent, structured)

    def on_llm_new_token(
        self, token: Any, *, chunk: Any = None, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A model writes."""
        if isinstance(chunk, ChatGenerationChunk) and isinstance(chunk.message, AIMessage):
            self._in_loop(self._write, run_id, chunk.message)

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A model has written a message."""
        first = response.generations[0][0] if response.generations and response.generations[0] else None
        if isinstance(first, ChatGeneration) and isinstance(first.message, AIMessage):
            self._in_loop(self._end_call, run_id, first.message)

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A model has failed: devices keep what it wrote, the entry does not."""
        # A node that needs no more of a stream closes it.
        self._in_loop(self._fail_call, run_id, not isinstance(error, GeneratorExit))

    # Nodes and tools

    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A node, or something in it, begins."""
        self._in_loop(self._inherit, run_id, parent_run_id)
        named = kwargs.get("name")
        if metadata and named and named == metadata.get("langgraph_node") and TAG_HIDDEN not in (tags or ()):
            given = [message.id for message in messages_in(inputs) if message.id]
            self._in_loop(self._begin_node, run_id, metadata, given)

    def on_chain_end(
        self, outputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A node, or something in it, has ended."""
        self._in_loop(self._end_node, run_id, outputs)

    def on_chain_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A node, or something in it, has failed."""
        # Questions and commands to a parent graph are exceptions too.
        self._in_loop(self._end_node, run_id, None, not isinstance(error, GraphBubbleUp))

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool is called."""
        name = kwargs.get("name") or (serialized or {}).get("name") or ""
        self._in_loop(self._inherit, run_id, parent_run_id, str(name))

    def on_tool_end(self, output: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """A tool has ended."""
        self._in_loop(self._end_tool, run_id)

    def on_tool_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A tool has failed."""
        self._in_loop(self._end_tool, run_id)

    # LangChain lets models stream when a handler has these two.

    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """What it is given."""
        return output

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        """What it is given."""
        return output

    # All that follows runs in the loop

    def _in_loop(self, step: Callable[..., Any], *arguments: Any) -> None:
        """At once, or from a thread in the order of the calls: the stream is the loop's."""
        if threading.get_ident() == self._thread:
            step(*arguments)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(step, *arguments)

    def _begin_call(
        self, run_id: UUID, parent: UUID | None, about: Mapping[str, Any], silent: bool, structured: bool
    ) -> None:
        tool = self._tools.get(parent, "") if parent else ""
        if silent:
            self._calls[run_id] = _Silence(hides_message=structured)
            return
        saying = self._calls[run_id] = _Saying(self._stream, self._speakers.of_call(about, tool))
        node = self._node_of.get(parent) if parent else None
        if node is not None:
            self._said_in.setdefault(node, []).append(saying)
        if tool:
            self._tools[run_id] = tool

    def _write(self, run_id: UUID, chunk: AIMessage) -> None:
        saying = self._calls.get(run_id)
        if isinstance(saying, _Saying):
            if chunk.id:
                self._known.add(chunk.id)
            saying.write(chunk)

    def _end_call(self, run_id: UUID, message: AIMessage) -> None:
        saying = self._calls.pop(run_id, None)
        if saying is None:
            return
        message.id = message.id or str(uuid4())
        if isinstance(saying, _Silence):
            if saying.hides_message:
                self._known.add(message.id)
            return
        saying.end(message)
        if self._tools.pop(run_id, ""):
            self.inside_tools.update(saying.numbers)
        self._said(message.id, saying)
        self._unreturned[message.id] = "".join(saying.texts).strip()

    def _fail_call(self, run_id: UUID, failed: bool) -> None:
        self._tools.pop(run_id, "")
        saying = self._calls.pop(run_id, None)
        if failed and isinstance(saying, _Saying):
            self._failed.append(saying)

    def _end_tool(self, run_id: UUID) -> None:
        self._tools.pop(run_id, "")
        self._node_of.pop(run_id, None)

    def _inherit(self, run_id: UUID, parent: UUID | None, name: str = "") -> None:
        node = self._node_of.get(parent) if parent else None
        if node is not None:
            self._node_of[run_id] = node
        tool = name or (self._tools.get(parent, "") if parent else "")
        if tool:
            self._tools[run_id] = tool

    def _begin_node(self, run_id: UUID, about: Mapping[str, Any], given: list[str]) -> None:
        self._node_of[run_id] = run_id
        self._nodes[run_id] = self._speakers.of_call(about, self._tools.get(run_id, ""))
        self._known.update(given)

    def _end_node(self, run_id: UUID, outputs: Any, failed: bool = False) -> None:
        self._node_of.pop(run_id, None)
        said = self._said_in.pop(run_id, [])
        if failed:
            self._failed += said
        tool = self._tools.pop(run_id, "")
        speaker = self._nodes.pop(run_id, None)
        if speaker is None:
            return
        for message in messages_in(outputs):
            if not isinstance(message, AIMessage) or is_bookkeeping(message):
                continue
            # Now, so that it is the same in the state and in the writes that a takeover continues from.
            message.id = message.id or str(uuid4())
            if message.id not in self._known and not self._is_copy(message):
                saying = _Saying(self._stream, self._speakers.of_message(message, speaker))
                saying.end(message)
                if tool:
                    self.inside_tools.update(saying.numbers)
                self._said(message.id, saying)
            self._unreturned.pop(message.id, None)

    def _is_copy(self, message: AIMessage) -> bool:
        """Whether a node has made this of what a model has said, such as a message with a name."""
        text = str(message.text).strip()
        original = next((key for key, said in self._unreturned.items() if said == text), None) if text else None
        if original is None or message.id is None:
            return False
        self._unreturned.pop(original)
        self._known.add(message.id)
        self._speaker_of[message.id] = self._speakers.of_message(message, self._speaker_of[original])
        return True

    def _said(self, message_id: str, saying: _Saying) -> None:
        self._known.add(message_id)
        self._speaker_of[message_id] = saying.speaker


def messages_in(value: Any) -> Iterator[BaseMessage]:
    """The messages in what a node is given, or returns: in the fields of a state, in lists and in commands."""
    if isinstance(value, BaseMessage):
        yield value
    elif isinstance(value, Command):
        yield from messages_in(value.update)
    elif isinstance(value, Overwrite):
        yield from messages_in(value.value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            if isinstance(item, (BaseMessage, Command)):
                yield from messages_in(item)
            elif isinstance(item, Mapping) or (isinstance(item, tuple) and len(item) == 2):
                # ToolNode returns a list of updates; an update may be pairs.
                yield from _messages_of_fields([item[1]] if isinstance(item, tuple) else item.values())
    elif isinstance(value, Mapping):
        yield from _messages_of_fields(value.values())
    elif isinstance(value, BaseModel):
        yield from _messages_of_fields([getattr(value, name) for name in type(value).model_fields])
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _messages_of_fields([getattr(value, item.name) for item in fields(value)])


def _messages_of_fields(values: Iterable[Any]) -> Iterator[BaseMessage]:
    for value in values:
        if isinstance(value, Overwrite):
            value = value.value
        if isinstance(value, BaseMessage):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, BaseMessage))


def _is_structured(asked: Mapping[str, Any]) -> bool:
    """Whether a model was asked for JSON of a schema, which is not written for people."""
    options = {**(asked.get("invocation_params") or {}), **(asked.get("options") or {})}
    form = options.get("response_format")
    return bool(options.get("ls_structured_output_format")) or (
        form is not None and not (isinstance(form, Mapping) and form.get("type") == "text")
    )

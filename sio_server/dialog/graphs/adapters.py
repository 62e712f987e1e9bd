"""Graphs without `messages`: how they are given what a person wrote, and which of their values is the answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.channels.last_value import LastValue
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

from sio_server.dialog.graphs.annotations import Holds, entrypoint_input, fields_of, holds
from sio_server.dialog.graphs.places import Spec
from sio_server.dialog.graphs.problems import BadGraph
from sio_server.dialog.reports import plain_json

Graph = Pregel[Any, Any, Any, Any]

WHOLE = "."  # the input or the output itself, and not a key of it
MESSAGES = "messages"


@dataclass(frozen=True)
class Adapter:
    """What a graph takes and gives, by the keys of its input and output; WHOLE for the thing itself."""

    input_key: str
    output_key: str
    takes: Holds = Holds.TEXT
    channel: str = ""  # that the answer is written to; '' where it cannot be told

    def input(self, message: HumanMessage) -> Any:
        """The graph's input for this message."""
        given: Any = message
        if self.takes is Holds.TEXT:
            given = str(message.text)
        elif self.takes is Holds.MESSAGES:
            given = [message]
        elif self.takes is Holds.STATE:
            given = {MESSAGES: [message]}
        return given if self.input_key == WHOLE else {self.input_key: given}

    def answer(self, values: Any) -> str | None:
        """The text of the answer, or None: that of messages, and JSON of what is neither text nor message."""
        found = values
        if self.output_key != WHOLE:
            found = (
                values.get(self.output_key) if isinstance(values, dict) else getattr(values, self.output_key, None)
            )
        return _as_text(found)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, BaseMessage):
        return str(value.text)
    if isinstance(value, dict) and _are_messages(value.get(MESSAGES)):
        value = value[MESSAGES]
    if _are_messages(value):
        return _spoken(value)
    return json.dumps(plain_json(value), ensure_ascii=False, indent=2)


def _are_messages(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, BaseMessage) for item in value)
    )


def _spoken(messages: Sequence[BaseMessage]) -> str | None:
    """The last text of the assistant, or of a tool, since a person's message."""
    asked_at = max((n for n, item in enumerate(messages) if isinstance(item, HumanMessage)), default=-1)
    since = messages[asked_at + 1 :]
    for kind in (AIMessage, ToolMessage):
        texts = [str(item.text) for item in since if isinstance(item, kind) and item.text]
        if texts:
            return texts[-1]
    return None


def adapter_for(graph: Graph, spec: Spec) -> Adapter | None:
    """The adapter that was asked for, or that the graph's annotations tell; None for a graph with messages.

    Raises BadGraph, which says what to write, where there is no telling.
    """
    inputs = _inputs(graph)
    has_messages = MESSAGES in graph.channels and MESSAGES in inputs
    if has_messages and not spec.input and not spec.output:
        return None
    is_whole = not inputs  # an @entrypoint, or a state that is one value
    takes = holds(_whole_input(graph)) if is_whole else Holds.UNKNOWN
    input_key = spec.input or (WHOLE if is_whole and (spec.output or takes is not Holds.UNKNOWN) else "")
    input_key = input_key or (MESSAGES if has_messages else "")
    if not input_key:
        raise _no_telling(graph, spec, inputs)
    if is_whole:
        if input_key == MESSAGES:
            takes = takes if takes in (Holds.STATE, Holds.MESSAGES) else Holds.MESSAGES
            input_key = WHOLE
        elif input_key == WHOLE:
            takes = Holds.TEXT if takes is Holds.UNKNOWN else takes
        else:
            takes = Holds.TEXT
    elif input_key in inputs:
        takes = holds(inputs[input_key])
        takes = takes if takes in (Holds.MESSAGE, Holds.MESSAGES) else Holds.TEXT
        if input_key == MESSAGES:
            takes = Holds.MESSAGES
    else:
        raise BadGraph(f"{spec.where}: its input has no {input_key}. Write one of its keys: {', '.join(inputs)}")
    output_key = spec.output or (WHOLE if is_whole else input_key if takes is not Holds.TEXT else "")
    if not output_key:
        raise _no_telling(graph, spec, inputs)
    outputs = list(cast(CompiledStateGraph[Any], graph).builder.channels) if _has_state(graph) else []
    if output_key != WHOLE and outputs and output_key not in outputs:
        raise BadGraph(f"{spec.where}: its state has no {output_key}. Write one of its keys: {', '.join(outputs)}")
    channel = graph.output_channels if isinstance(graph.output_channels, str) else output_key
    return Adapter(input_key, output_key, takes, channel if channel in graph.channels else "")


def forgets(graph: Graph) -> bool:
    """Whether each turn's messages take the place of those before."""
    return isinstance(graph.channels.get(MESSAGES), LastValue)


def _has_state(graph: Graph) -> bool:
    return isinstance(graph, CompiledStateGraph) and "__root__" not in graph.channels


def _inputs(graph: Graph) -> dict[str, Any]:
    """The keys of the graph's input with their types; none when the input is one value."""
    if isinstance(graph, CompiledStateGraph):
        if not _has_state(graph):
            return {}
        schema = graph.builder.input_schema
        return dict.fromkeys(graph.builder.schemas[schema], Any) | fields_of(schema)
    return {} if isinstance(graph.input_channels, str) else dict.fromkeys(graph.input_channels, Any)


def _whole_input(graph: Graph) -> Any:
    return graph.builder.input_schema if isinstance(graph, CompiledStateGraph) else entrypoint_input(graph)


def _no_telling(graph: Graph, spec: Spec, inputs: dict[str, Any]) -> BadGraph:
    if not inputs:
        line = spec.adapter_line(spec.input or WHOLE, spec.output or WHOLE)
        return BadGraph(
            f"{spec.where}: it does not say what it takes. For the text that was written, write {line}; for "
            "a list of messages, let it take list[BaseMessage]"
        )
    texts = [key for key, its_type in inputs.items() if holds(its_type) is Holds.TEXT]
    takes = spec.input or next(iter([*texts, *inputs]))
    others = [
        key for key in graph.channels if not key.startswith(("__", "branch:")) and key not in (takes, *inputs)
    ]
    rest = [key for key in inputs if key != takes]
    gives = spec.output or next(
        (key for key in ("answer", "output", "response", "result") if key in (*others, *rest)), ""
    )
    gives = gives or next(iter([*others, *rest]), takes)
    has = "input" if MESSAGES in graph.channels and MESSAGES not in inputs else "state"
    return BadGraph(
        f"{spec.where}: its {has} has no messages. Derive it from MessagesState, or say which key gets the text "
        f"and which has the answer: {spec.adapter_line(takes, gives)}"
    )

"""What a node does as spans of OpenTelemetry: the trace of a message is the same on every node that works on it.

Its id is made from the conversation, the epoch and the seq of the message. So the node that appends it, those that
deliver it, and those that execute its run, one after the other, write into one trace, and nothing has to be sent
or kept for that. A caller that has a trace of its own gets a span in it, and the two link to each other.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sio_server.protocol.run import RunStatus
from sio_server.trace.contract import TraceKind

_CALLED: ContextVar[Span | None] = ContextVar("called", default=None)  # the span of the request that is served

HEARD_MAX = 10_000  # messages that may be on their way to devices at a time


class MessageIds(NamedTuple):
    """The ids of a message's trace, and of the span of its sending."""

    trace_id: int
    span_id: int


def ids_of(conversation_id: str, epoch: str, seq: int) -> MessageIds:
    """The same on every node. Ids are never zero, and as good as random to a sampler."""
    digest = blake2b(f"{epoch} {seq} {conversation_id}".encode(), digest_size=24).digest()
    return MessageIds(int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:]) or 1)


class ChosenIds(IdGenerator):
    """Random ids, unless the next span of this thread has been given others."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._next = threading.local()

    @contextmanager
    def for_next(self, ids: MessageIds) -> Iterator[None]:
        """The span that is begun here has these."""
        self._next.ids = ids
        try:
            yield
        finally:
            self._next.ids = None

    def generate_trace_id(self) -> int:
        ids: MessageIds | None = getattr(self._next, "ids", None)
        return ids.trace_id if ids else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        ids: MessageIds | None = getattr(self._next, "ids", None)
        return ids.span_id if ids else self._random.generate_span_id()


class _Working:
    """An attempt at a run on this node."""

    def __init__(self, span: Span, context: Context, began: int) -> None:
        self.span = span
        self.context = context
        self.began = self.step_began = began
        self.ended = False


class Spans:
    """Turns trace events into spans.

    `message:send` with `append` below it, from the request to the log; `deliver` on each node that has a member,
    from hearing the entry to its writes; `run`, one for each attempt, with a span for each step of the graph, and
    `first text`. Nothing that people or graphs say is in them.
    """

    def __init__(self, provider: TracerProvider, ids: ChosenIds) -> None:
        """`provider` makes its ids with `ids`."""
        self._provider = provider
        self._ids = ids
        self._tracer = provider.get_tracer("roomgraph")
        self._heard: OrderedDict[tuple[str, int], tuple[str, int]] = OrderedDict()  # -> epoch, when (ns)
        self._working: dict[str, _Working] = {}  # by run

    def on_event(self, kind: TraceKind, fields: Mapping[str, Any]) -> None:
        """Something has just happened."""
        match kind:
            case TraceKind.APPENDED:
                self._appended(fields)
            case TraceKind.HEARD if fields["type"] == "message":
                self._heard[fields["conversation_id"], fields["seq"]] = fields["epoch"], time.time_ns()
                if len(self._heard) > HEARD_MAX:
                    self._heard.popitem(last=False)
            case TraceKind.DELIVERED:
                self._delivered(fields)
            case TraceKind.RUN_STEP | TraceKind.RUN_SPOKE | TraceKind.RUN_ENDED | TraceKind.ASKED:
                working = self._working.get(fields["run_id"])
                if working is not None:
                    self._ran(working, kind, fields)
            case _:
                pass

    @contextmanager
    def working(self, about: Mapping[str, Any]) -> Iterator[None]:
        """An attempt at a run; its span is the current one meanwhile, also for the libraries that graphs use."""
        parent = self._parent(ids_of(about["conversation_id"], about["epoch"], about["input_seq"]))
        began = time.time_ns()
        attributes = {
            "roomgraph.conversation_id": about["conversation_id"],
            "roomgraph.run_id": about["run_id"],
            "roomgraph.attempt": about["attempt"],
            "roomgraph.graph": about["graph"],
        }
        span = self._tracer.start_span(
            "run", parent, kind=SpanKind.CONSUMER, attributes=attributes, start_time=began
        )
        working = _Working(span, set_span_in_context(span), began)
        self._working[about["run_id"]] = working
        try:
            with use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
                yield
        finally:
            if self._working.get(about["run_id"]) is working:
                del self._working[about["run_id"]]
            if not working.ended:  # it is tried again, here or elsewhere
                span.set_attribute("roomgraph.status", "left")
            span.end()

    @contextmanager
    def called_by(self, traceparent: str, operation: str) -> Iterator[None]:
        """A request of a caller that has a trace: a span in it, linked to what is appended meanwhile."""
        caller = TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())
        if not get_current_span(caller).get_span_context().is_valid:  # the header says nothing
            yield
            return
        span = self._tracer.start_span(operation, caller, kind=SpanKind.SERVER)
        reset = _CALLED.set(span)
        try:
            yield
        finally:
            _CALLED.reset(reset)
            span.end()

    def _appended(self, fields: Mapping[str, Any]) -> None:
        if not fields["new"]:
            return
        ended = time.time_ns()
        began = ended - int(fields["ms"] * 1e6)
        attributes = _attributes(fields)
        called = _CALLED.get()
        links = [Link(called.get_span_context())] if called is not None else []
        with self._ids.for_next(ids_of(fields["conversation_id"], fields["epoch"], fields["seq"])):
            span = self._tracer.start_span(
                *("message:send", Context(), SpanKind.SERVER, attributes, links), start_time=began
            )
        if called is not None:
            called.add_link(span.get_span_context())
        append = self._tracer.start_span("append", set_span_in_context(span, Context()), start_time=began)
        append.end(ended)
        span.end(ended)

    def _delivered(self, fields: Mapping[str, Any]) -> None:
        heard = self._heard.pop((fields["conversation_id"], fields["seq"]), None)
        if heard is None:
            return
        epoch, began = heard
        self._tracer.start_span(
            "deliver",
            self._parent(ids_of(fields["conversation_id"], epoch, fields["seq"])),
            kind=SpanKind.CONSUMER,
            attributes={**_attributes(fields), "roomgraph.devices": len(fields["device_ids"])},
            start_time=began,
        ).end()

    def _ran(self, working: _Working, kind: TraceKind, fields: Mapping[str, Any]) -> None:
        now = time.time_ns()
        if kind == TraceKind.RUN_STEP:
            self._tracer.start_span(f"step {fields['step']}", working.context, start_time=working.step_began).end(
                now
            )
            working.step_began = now
        elif kind == TraceKind.RUN_SPOKE:
            self._tracer.start_span("first text", working.context, start_time=working.began).end(now)
        elif kind == TraceKind.ASKED:
            working.span.add_event("asked")
        else:
            working.ended = True
            working.span.set_attribute("roomgraph.status", str(fields["status"]))
            if fields["status"] == RunStatus.FAILED:
                working.span.set_status(Status(StatusCode.ERROR))

    def _parent(self, ids: MessageIds) -> Context:
        """The span of the message's sending, wherever that is recorded, sampled as it is there."""
        judged = self._provider.sampler.should_sample(Context(), ids.trace_id, "message:send")
        sampled = judged.decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        context = SpanContext(ids.trace_id, ids.span_id, is_remote=True, trace_flags=flags)
        return set_span_in_context(NonRecordingSpan(context), Context())


def _attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"roomgraph.conversation_id": fields["conversation_id"], "roomgraph.seq": fields["seq"]}
